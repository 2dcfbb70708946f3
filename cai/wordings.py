"""Says by its wording whether a text is an answer, a critique, or talk about a revision, and finds turn markers.

All rules but the marks of turns read English. Most read the first two sentences and the last paragraph, without what
these quote: there a model says what it is doing. A rule for wording knows nothing of the person's request: a rewritten
answer that the person asked for, or a dialogue with its speakers' names, looks the same.

Measured on the 3,108 answers that people chose in hh-rlhf. Read as revisions: 3 are called talk about rewriting (they
do speak of an earlier answer), none a critique; 17 hold a marker, all a leaked "Human:". Read as critiques: 1,785 of
the 2,740 with eight words or more are told to be answers; the others speak to nobody, or have a word that critiques
have too.

The loop that waits for an engine runs these rules, so they must be quick. Few replies hold a word that a rule needs:
each rule names such words, and its pattern is tried only where they stand in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

MOST_CHARACTERS = 100_000
"""Of a longer text only this much is read: one half from its start and one half from its end."""
FEWEST_WORDS = 8
"""A shorter text may be a critique that names nothing ("Stealing is bad for you")."""
_OPENING = 400
_ENDING = 600
"""Characters within which the opening and the ending of a reply lie."""

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
    "written revised reworded rephrased reformulated redrafted edited modified improved updated corrected"
)
_EARLIER_ONES = "original previous earlier initial prior preceding"


class _Rule:
    """A pattern, and groups of parts of words: where it matches, the text holds one part of each group.

    A part lies within one word: leaving out a quotation may put two words side by side, but makes no new word.
    """

    def __init__(self, pattern: str, *groups: str) -> None:
        self.pattern = pattern
        self.groups = tuple(frozenset(group.split()) for group in groups)


class _Rules:
    """Rules of which one must hold."""

    def __init__(self, *rules: _Rule) -> None:
        self._rules = rules
        self._parts = tuple({part for rule in rules for group in rule.groups for part in group})

    def hold(self, text: str, *reads: Callable[[str], str]) -> bool:
        """Whether one holds in what one of `reads` takes from the text, which is asked for only where one might."""
        found = {part for part in self._parts if part in text}
        likely = [rule.pattern for rule in self._rules if found and not any(map(found.isdisjoint, rule.groups))]
        return bool(likely) and any(re.search(each, part) for part in [read(text) for read in reads] for each in likely)


_REVISIONS = rf"^[^\w\n]{{0,9}}(?:\w+[,!.:] )?(?:{_PRESENTING})?(?:(?:the|my|a|an|your|one|possible) ){{0,2}}"
_LABELS = _Rules(
    _Rule(
        rf"(?m){_REVISIONS}{_REWRITTEN} (?:[\w'-]+ ){{0,2}}?(?:version of {_FEW})?{_REPLY}"
        r"(?:[^.:\n]{0,80}:|\W{0,9}$)",
        *(_A_REPLY, _A_REWRITTEN_ONE),
    )
)
"""A line that announces a rewritten answer: "Revised response:", "Here is the revised answer:"."""
_PRESENTED = rf"{_PRESENTING}{_FEW}(?:{_REWRITTEN} {_FEW}|(?:version|revision|rewrite) of {_FEW}){_REPLY}"
_FOR_ANY = (
    _Rule(_PRESENTED, _A_REPLY, f"{_A_REWRITTEN_ONE} version revision rewrite"),
    _Rule(rf"\b(?:this|the|my|in) (?:revised|rewritten|reworded|rephrased) {_REPLY}", _A_REPLY, _A_REWRITTEN_ONE),
)
_ALWAYS_META = _Rules(*_FOR_ANY)
_META = _Rules(
    *_FOR_ANY,
    _Rule(
        rf"{_PRESENTING}{_FEW}(?:{_REWRITTEN}|{_BETTER}) {_FEW}(?:version|message|text|revision|{_REPLY})"
        r"(?! of your\b)",
        f"{_A_REPLY} version message text revision",
    ),
    _Rule(
        rf"{_PRESENTING}{_FEW}(?:rewrite|revision|rewording|rephrasing)\b(?! of your\b)",
        "rewrite revision rewording rephrasing",
    ),
    _Rule(
        r"\bi(?:'ve| have)? (?:also |just |now )*(?:revised|rewrote|rewritten|reworded|rephrased|toned down)\b"
        r"(?! your\b)",
        "revised rewrote written reworded rephrased toned",
    ),
    _Rule(
        r"\bi(?:'ve| have)? (?:also |just |now )*(?:removed|replaced|changed|avoided|omitted|edited|modified|adjusted|"
        rf"corrected|softened|left out|taken out|took out) (?:(?!your\b)[\w',-]+ ){{0,6}}?{_WORDING}",
        "removed replaced changed avoided omitted edited modified adjusted corrected softened left taken took",
    ),
    _Rule(
        r"\b(?:let me|i'll|i will) (?:rephrase|revise|rewrite|reword|redo|try (?:that|this) again)\b(?! your\b)",
        "rephrase revise rewrite reword redo again",
    ),
    _Rule(rf"\b(?:apologi[sz]e|sorry) for (?:my|the|that|any) {_FEW}{_REPLY}", _A_REPLY, "apologi sorry"),
    _Rule(rf"\bmy {_EARLIER} {_REPLY}", _A_REPLY, _EARLIER_ONES),
    _Rule(
        r"\bthank(?:s| you) for (?:the|your|this|that) (?:\w+ )?(?:feedback|critique|criticism|correction)\b",
        "feedback critique criticism correction",
    ),
    _Rule(r"\b(?:revision|critique) request\b", "request", "revision critique"),
)
_META_AT_THE_END = _Rules(
    _Rule(rf"\bthe {_EARLIER} {_REPLY}", _A_REPLY, _EARLIER_ONES),
    _Rule(
        r"\bthis (?:revision|rewrite|rewording|(?:revised |new )?version|response|answer|reply) (?:\w+ly )?(?:removes|"
        r"avoids|eliminates|no longer|does not (?:contain|include|encourage|promote)|is (?:now )?(?:more|less|free)|"
        r"maintains|acknowledges|addresses|focuses|ensures|emphasi[sz]es|respects)\b",
        f"{_A_REPLY} revision rewrite rewording version",
    ),
    _Rule(
        r"(?m)^[^\w\n]{0,9}(?:changes made|summary of (?:the )?changes|what (?:i )?(?:have )?changed|"
        r"(?:reasons?|explanation) (?:for|of) (?:the |my )?(?:changes?|revisions?))\b",
        "change revision",
    ),
)

_STARTS = r"(?:^\W*|[.!?:,] )"
_CRITIQUES = _Rules(
    _Rule(
        rf"\b(?:assistant|ai|chatbot|model)'s {_FEW}(?:answer|response|reply|message|advice|suggestion|statement)\b",
        "assistant's ai's chatbot's model's",
    ),
    _Rule(
        rf"{_STARTS}the (?:ai )?assistant (?!manager|coach|director|principal|editor|professor|teacher|will\b|can\b)"
        r"\w+",
        "assistant",
    ),
    _Rule(
        rf"{_STARTS}(?:this|the) (?:{_EARLIER} |last |first )?(?:response|reply) (?!to\b|of\b|from\b|time|rate|team)"
        r"\w+",
        "response reply",
    ),
    _Rule(
        rf"{_STARTS}(?:this|the) (?:{_EARLIER}|last|first) answer (?!to\b)\w+",
        *("answer", f"{_EARLIER_ONES} last first"),
    ),
    _Rule(
        rf"{_STARTS}the {_EARLIER} (?:statement|message|request|sentence) (?!to\b)\w+",
        *(_EARLIER_ONES, "statement message request sentence"),
    ),
    _Rule(rf"{_STARTS}this is (?:a|an) (?:[\w-]+ ){{1,5}}{_REPLY}", _A_REPLY),
    _Rule(
        rf"{_STARTS}(?:this|the|your|its) answer (?:\w+ly |also |itself )*(?:fails|failed|contains|could (?:be|have)|"
        r"should|would have|does not|did not|doesn't|didn't|lacks|encourages|promotes|provides|reveals|implies|ignores|"
        r"advises|treats|assumes|makes|uses|gives|helps|suggests that|"
        r"(?:is|was) (?:too|already|fine|only|(?:not )?(?:very |only )?(?:harm\w+|"
        r"help\w+|unhelpful|rude|cold|cruel|toxic|biased|racist|sexist|dangerous|unsafe|unethical|illegal|"
        r"offensive|evasive|preachy|misleading|inappropriate|appropriate|problematic|more|a)))\b",
        "answer",
    ),
    _Rule(
        r"\bthere (?:is|was) nothing (?:to (?:correct|change|revise|fix|critici[sz]e|improve|remove)|"
        rf"(?:harmful|wrong|unkind|dangerous|offensive|unethical) (?:in|about|with) (?:the|this|that) {_FEW}{_REPLY})",
        "nothing",
    ),
    _Rule(
        r"\bno (?:changes?|revisions?|corrections?) (?:is|are|was|were) (?:needed|necessary|required)\b",
        *("change revision correction", "needed necessary required"),
    ),
    _Rule(r"^\W*critique\b", "critique"),
)
_ABOUT_A_REPLY = _Rules(
    _Rule(
        r"\b(?:answer|response|respond|repl(?:y|ies|ied)|assistant|chatbot|critique|critici|wording|phras|sentence|"
        r"statement|message|tone\b|stereotyp|harmful|offensive|insult|mocks|shames|belittl|implies|encourag|"
        r"promotes|assumes|treats|ignores|fails to|the (?:person|user|joke|advice|suggestion|details|text|claim))",
        "answer respon repl assistant chatbot critique critici wording phras sentence statement message tone stereotyp "
        "harmful offensive insult mocks shames belittl implies encourag promotes assumes treats ignores fails person "
        "user joke advice suggestion details text claim",
    ),
    _Rule(r"\bais?\b", "ai"),
    _Rule(
        r"\bit (?:tells|says|said|gives|gave|suggests|should|also|does|doesn't|did|makes|shows|explains|offers)\b",
        "tells says said gives gave suggests should also does did makes shows explains offers",
    ),
    _Rule(r"\bi should(?:n't| not)? have\b", "should"),
    _Rule(r"\bnothing (?:to|here|that|in|wrong|is|needs)\b", "nothing"),
    _Rule(r"\b(?:find|found|see|identif\w+) (?:no|nothing|any\w*)\b", "find found see identif"),
)
_TO_A_PERSON = _Rules(
    _Rule(
        r"\b(?:you|your|yours|yourself|you're|i'm|i'd|i'll|i can't|i cannot|i won't)\b",
        "you i'm i'd i'll can't cannot won't",
    )
)

_MARKERS = _Rules(
    _Rule(
        r"(?m)^[ \t>*#_]*(?:Human|User|Assistant|System|CritiqueRequest|Critique Request|Critique request|Critique|"
        r"RevisionRequest|Revision Request|Revision request|Revision)[ \t*_]*:"
        r"|^#+[ \t]*(?:Instruction|Response|Human|Assistant):",
        *(":", "Human User Assistant System Critique Revision Instruction Response"),
    ),
    _Rule(
        r"<\|[\w./-]{1,40}\|>|<\uff5c[^\s\uff5c]{1,40}\uff5c>|</?s>|</?think>|<(?:start|end)_of_turn>"
        r"|\[/?INST\]|<</?SYS>>|\[\[\[(?![\s\d\[.'\"+-])|(?<![\s\d\]'\"])\]\]\]",
        "< INST] [[[ ]]]",
    ),
)
_STRAIGHTENED = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "*": "", "#": "", "_": "", "`": ""}


def marks_a_turn(text: str) -> bool:
    """Whether a line opens with a speaker's or a template's name and a colon, or a token that sets turns apart stands.

    Also `[[[` and `]]]`, by which our templates quote answers, unless numbers or strings stand inside as in code.
    """
    return _MARKERS.hold(_ends(text), str)


def speaks_of_rewriting(text: str, revised: bool) -> bool:
    """Whether a text says that it is a rewritten answer, or how it came to be.

    Unless it is `revised`, only words count that name an answer, response or reply: a person may well ask for a
    rewritten letter, and hear what was changed.
    """
    plain = _plain(text)
    if announces_a_revision(text) or (_META if revised else _ALWAYS_META).hold(plain, _opening, _ending):
        return True
    return revised and _META_AT_THE_END.hold(plain, _ending)


def announces_a_revision(text: str) -> bool:
    """Whether some line announces a rewritten answer, as in "Revised response:"."""
    return _LABELS.hold(_plain(text), str)


def criticises(text: str) -> bool:
    """Whether a text opens as a critique does: with what an answer is, does or lacks.

    "Here is a rewritten version of the assistant's answer" is none: it presents a revision.
    """
    return _CRITIQUES.hold(_plain(text), _opening_without_presentation)


def answers_a_person(text: str) -> bool:
    """Whether a text of some length speaks to somebody, and nowhere of an answer or of what is wrong with one."""
    plain = _plain(text)
    if not _TO_A_PERSON.hold(plain, _unquoted) or _ABOUT_A_REPLY.hold(plain, _unquoted):
        return False
    return len(_unquoted(plain).split()) >= FEWEST_WORDS


def without_quotes(text: str) -> str:
    """The text without what stands in double quotation marks within a line, and without quoted lines."""
    return _unquoted(text.replace("\u201c", '"').replace("\u201d", '"'))


def _unquoted(text: str) -> str:
    return re.sub(r'"[^"\n]*"|(?m:^[ \t]*>.*$)', " ", text) if '"' in text or ">" in text else text


def _ends(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n{text[-half:]}"


@lru_cache(maxsize=8)
def _plain(text: str) -> str:
    """Lower case, straight quotes, no Markdown, single spaces; lines stay apart. Kept while a reply is looked at."""
    plain = _ends(text).lower()
    for mark, ours in _STRAIGHTENED.items():
        plain = plain.replace(mark, ours)
    return "\n".join([" ".join(line.split()) for line in plain.splitlines()]).strip()


def _opening(plain: str) -> str:
    """The first two sentences or lines."""
    sentences = re.split(r"(?<=[.!?]) |\n", _unquoted(plain[:_OPENING]))
    return " ".join([sentence for sentence in sentences if sentence.strip()][:2])


def _opening_without_presentation(plain: str) -> str:
    return re.sub(_PRESENTED, " ", _opening(plain))


def _ending(plain: str) -> str:
    """The last paragraph, or its last 600 characters."""
    return _unquoted(plain[-_ENDING:].split("\n\n")[-1])
