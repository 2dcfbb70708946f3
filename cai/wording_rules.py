"""Patterns for `cai/wordings.py`, each with the words without which it can't match.

The event loop that waits for an engine reads every reply by these rules, so they must be quick. Few replies hold the
words that a rule needs, and words are found far more quickly than a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from functools import cached_property
from typing import Self

_REPLY = r"(?:answer|response|reply)\b"
_REWRITTEN = (
    r"(?:re-?written|revised|reworded|rephrased|reformulated|redrafted|edited|modified|improved|updated|corrected)"
)
_BETTER = (
    r"(?:better|new|alternative|safer|kinder|gentler|softer|(?:more|less) [\w-]+(?:,? and (?:more |less )?[\w-]+)?)"
)
_EARLIER = r"(?:original|previous|earlier|initial|prior|preceding)"
_FEW = r"(?:[\w'-]+ ){0,3}?"
_PRESENTING = (
    r"(?:here(?:'s| is| are)|below is|this is|i(?:'ve| have)? (?:written|wrote|provided|prepared)|"
    r"(?:let me|i'll|i will|i can) (?:provide|give|offer|write|try)(?: you)?(?: with)?) "
)
_WORDING = (
    r"(?:answer|response|reply|wording|language|tone|phras\w+|sentences?|content|references?|mentions?|remarks?|jokes?|"
    r"insults?|slurs?|stereotypes?|assumptions?|suggestions?|claims?|advice|parts?)\b"
)
_A_REPLY = "answer response reply"
_A_REWRITTEN_ONE = (
    "rewritten written revised reworded rephrased reformulated redrafted edited modified improved updated corrected"
)
_EARLIER_ONES = "original previous earlier initial prior preceding"


class Rule:
    """A pattern, and what a text must hold where it matches: a word of each group, and one of the parts of words.

    A word of a group stands as a whole in the pattern, with nothing of a word on either side. The first group should
    be the one of which texts seldom hold a word.
    """

    def __init__(self, pattern: str, *groups: str, parts: str = "") -> None:
        self.pattern = pattern
        self.groups = tuple(frozenset(group.split()) for group in groups)
        self.parts = tuple(parts.split())

    @cached_property
    def search(self) -> Callable[[str], re.Match[str] | None]:
        """Where the pattern matches; compiled when it is first needed, since most commands need none."""
        return re.compile(self.pattern).search

    def may_match(self, text: str, words: Set[str]) -> bool:
        """Whether a text with these words holds all of that."""
        if any(map(words.isdisjoint, self.groups)):
            return False
        return not self.parts or any(map(text.__contains__, self.parts))


class Rules(tuple[Rule, ...]):
    """Rules of which one must hold."""

    def __new__(cls, *rules: Rule) -> Self:
        """In their order."""
        return super().__new__(cls, rules)

    @cached_property
    def _by_word(self) -> dict[str, list[Rule]]:
        """The rules whose first group holds a word."""
        found: dict[str, list[Rule]] = {}
        for rule in self:
            for word in rule.groups[0] if rule.groups else ():
                found.setdefault(word, []).append(rule)
        return found

    @cached_property
    def _for_any_words(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self if not rule.groups)

    def likely(self, text: str, words: Set[str]) -> list[Rule]:
        """Those that may match a text with these words; few words call for a rule, so few rules are looked at."""
        named = self._by_word.keys() & words
        called = {rule for word in named for rule in self._by_word[word]} if named else ()
        return [rule for rule in (*called, *self._for_any_words) if rule.may_match(text, words)]


_LINE_UP_TO_IT = rf"^[^\w\n]{{0,9}}(?:\w+[,!.:] )?(?:{_PRESENTING})?(?:(?:the|my|a|an|your|one|possible) ){{0,2}}"
LABEL = Rule(
    rf"(?m){_LINE_UP_TO_IT}{_REWRITTEN} (?:[\w'-]+ ){{0,2}}?(?:version of {_FEW})?{_REPLY}"
    r"(?:[^.:\n]{0,80}:|\W{0,9}$)",
    _A_REPLY,
    _A_REWRITTEN_ONE,
)
"""A line that announces a rewritten answer: "Revised response:", "Here is the revised answer:"."""
PRESENTED = rf"{_PRESENTING}{_FEW}(?:{_REWRITTEN} {_FEW}|(?:version|revision|rewrite) of {_FEW}){_REPLY}"
PRESENTATION = Rule(PRESENTED, f"{_A_REWRITTEN_ONE} version revision rewrite", _A_REPLY)
ALWAYS_META = Rules(
    PRESENTATION,
    Rule(rf"\b(?:this|the|my|in) (?:revised|rewritten|reworded|rephrased) {_REPLY}", _A_REWRITTEN_ONE, _A_REPLY),
)
META = Rules(
    *ALWAYS_META,
    Rule(
        rf"{_PRESENTING}{_FEW}(?:{_REWRITTEN}|{_BETTER}) {_FEW}(?:version|message|text|revision|{_REPLY})"
        r"(?! of your\b)",
        f"{_A_REWRITTEN_ONE} better new alternative safer kinder gentler softer more less",
        parts="version message text revision answer response reply",
    ),
    Rule(
        rf"{_PRESENTING}{_FEW}(?:rewrite|revision|rewording|rephrasing)\b(?! of your\b)",
        "rewrite revision rewording rephrasing",
    ),
    Rule(
        r"\bi(?:'ve| have)? (?:also |just |now )*(?:revised|rewrote|rewritten|reworded|rephrased|toned down)\b"
        r"(?! your\b)",
        "revised rewrote rewritten reworded rephrased toned",
    ),
    Rule(
        r"\bi(?:'ve| have)? (?:also |just |now )*(?:removed|replaced|changed|avoided|omitted|edited|modified|adjusted|"
        rf"corrected|softened|left out|taken out|took out) (?:(?!your\b)[\w',-]+ ){{0,6}}?{_WORDING}",
        "removed replaced changed avoided omitted edited modified adjusted corrected softened left taken took",
    ),
    Rule(
        r"\b(?:let me|i'll|i will) (?:rephrase|revise|rewrite|reword|redo|try (?:that|this) again)\b(?! your\b)",
        "rephrase revise rewrite reword redo again",
    ),
    Rule(rf"\b(?:apologi[sz]e|sorry) for (?:my|the|that|any) {_FEW}{_REPLY}", "apologise apologize sorry", _A_REPLY),
    Rule(rf"\bmy {_EARLIER} {_REPLY}", _EARLIER_ONES, _A_REPLY, "my"),
    Rule(
        r"\bthank(?:s| you) for (?:the|your|this|that) (?:\w+ )?(?:feedback|critique|criticism|correction)\b",
        "feedback critique criticism correction",
        "thank thanks",
    ),
    Rule(r"\b(?:revision|critique) request\b", "request", "revision critique"),
)
META_AT_THE_END = Rules(
    Rule(rf"\bthe {_EARLIER} {_REPLY}", _EARLIER_ONES, _A_REPLY),
    Rule(
        r"\bthis (?:revision|rewrite|rewording|(?:revised |new )?version|response|answer|reply) (?:\w+ly )?(?:removes|"
        r"avoids|eliminates|no longer|does not (?:contain|include|encourage|promote)|is (?:now )?(?:more|less|free)|"
        r"maintains|acknowledges|addresses|focuses|ensures|emphasi[sz]es|respects)\b",
        f"{_A_REPLY} revision rewrite rewording version",
        "this",
    ),
    Rule(
        r"(?m)^[^\w\n]{0,9}(?:changes made|summary of (?:the )?changes|what (?:i )?(?:have )?changed|"
        r"(?:reasons?|explanation) (?:for|of) (?:the |my )?(?:changes?|revisions?))\b",
        "change changes changed revision revisions",
    ),
)

_STARTS = r"(?:^\W*|[.!?:,] )"
CRITIQUES = Rules(
    Rule(
        rf"\b(?:assistant|ai|chatbot|model)'s {_FEW}(?:answer|response|reply|message|advice|suggestion|statement)\b",
        "assistant ai chatbot model",
        "answer response reply message advice suggestion statement",
    ),
    Rule(
        rf"{_STARTS}the (?:ai )?assistant (?!manager|coach|director|principal|editor|professor|teacher|will\b|can\b)"
        r"\w+",
        "assistant",
    ),
    Rule(
        rf"{_STARTS}(?:this|the) (?:{_EARLIER} |last |first )?(?:response|reply) (?!to\b|of\b|from\b|time|rate|team)"
        r"\w+",
        "response reply",
    ),
    Rule(
        rf"{_STARTS}(?:this|the) (?:{_EARLIER}|last|first) answer (?!to\b)\w+",
        "answer",
        f"{_EARLIER_ONES} last first",
    ),
    Rule(
        rf"{_STARTS}the {_EARLIER} (?:statement|message|request|sentence) (?!to\b)\w+",
        _EARLIER_ONES,
        "statement message request sentence",
    ),
    Rule(rf"{_STARTS}this is (?:a|an) (?:[\w-]+ ){{1,5}}{_REPLY}", _A_REPLY, "this"),
    Rule(
        rf"{_STARTS}(?:this|the|your|its) answer (?:\w+ly |also |itself )*(?:fails|failed|contains|could (?:be|have)|"
        r"should|would have|does not|did not|doesn't|didn't|lacks|encourages|promotes|provides|reveals|implies|ignores|"
        r"advises|treats|assumes|makes|uses|gives|helps|suggests that|"
        r"(?:is|was) (?:too|already|fine|only|(?:not )?(?:very |only )?(?:harm\w+|"
        r"help\w+|unhelpful|rude|cold|cruel|toxic|biased|racist|sexist|dangerous|unsafe|unethical|illegal|"
        r"offensive|evasive|preachy|misleading|inappropriate|appropriate|problematic|more|a)))\b",
        "answer",
    ),
    Rule(
        r"\bthere (?:is|was) nothing (?:to (?:correct|change|revise|fix|critici[sz]e|improve|remove)|"
        rf"(?:harmful|wrong|unkind|dangerous|offensive|unethical) (?:in|about|with) (?:the|this|that) {_FEW}{_REPLY})",
        "nothing",
        "there",
    ),
    Rule(
        r"\bno (?:changes?|revisions?|corrections?) (?:is|are|was|were) (?:needed|necessary|required)\b",
        "needed necessary required",
        "change changes revision revisions correction corrections",
        "no",
    ),
    Rule(r"^\W*critique\b", "critique"),
)
ABOUT_A_REPLY = Rules(
    Rule(
        r"\b(?:answer|response|respond|repl(?:y|ies|ied)|assistant|chatbot|critique|critici|wording|phras|sentence|"
        r"statement|message|tone\b|stereotyp|harmful|offensive|insult|mocks|shames|belittl|implies|encourag|"
        r"promotes|assumes|treats|ignores|fails to|the (?:person|user|joke|advice|suggestion|details|text|claim))",
        parts="answer respon repl assistant chatbot criti wording phras sentence statement message tone stereotyp "
        "harmful offensive insult mocks shames belittl implies encourag promotes assumes treats ignores fails person "
        "user joke advice suggestion details text claim",
    ),
    Rule(r"\bais?\b", "ai ais"),
    Rule(
        r"\bit (?:tells|says|said|gives|gave|suggests|should|also|does|doesn't|did|makes|shows|explains|offers)\b",
        "tells says said gives gave suggests should also does doesn did makes shows explains offers",
    ),
    Rule(r"\bi should(?:n't| not)? have\b", "should shouldn"),
    Rule(r"\bnothing (?:to|here|that|in|wrong|is|needs)\b", "nothing"),
    Rule(r"\b(?:find|found|see|identif\w+) (?:no|nothing|any\w*)\b", parts="find found see identif"),
)
TO_A_PERSON = Rule(
    r"\b(?:you|your|yours|yourself|you're|i'm|i'd|i'll|i can't|i cannot|i won't)\b",
    "you your yours yourself i",
)

SPEAKERS = ("Human", "User", "Assistant", "System", "Critique", "Revision", "Instruction", "Response")
SPEAKER = (
    r"(?m)^[ \t>*#_]*(?:Human|User|Assistant|System|CritiqueRequest|Critique Request|Critique request|Critique|"
    r"RevisionRequest|Revision Request|Revision request|Revision)[ \t*_]*:"
    r"|^#+[ \t]*(?:Instruction|Response|Human|Assistant):"
)
MARK = (
    r"<\|[\w./-]{1,40}\|>|<\uff5c[^\s\uff5c]{1,40}\uff5c>|</?s>|</?think>|<(?:start|end)_of_turn>"
    r"|\[/?INST\]|<</?SYS>>|\[\[\[(?![\s\d\[.'\"+-])|(?<![\s\d\]'\"])\]\]\]"
)
