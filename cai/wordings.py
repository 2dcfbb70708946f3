"""Says by its wording whether a text is an answer, a critique, or talk about a revision, and finds turn markers.

All rules but the marks of turns read English. Most read the first two sentences and the last paragraph, without what
these quote: there a model says what it is doing. A rule for wording knows nothing of the person's request: a rewritten
answer that the person asked for, or a dialogue with its speakers' names, looks the same.

Measured on the 3,108 answers that people chose in hh-rlhf. Read as revisions: 3 are called talk about rewriting (they
do speak of an earlier answer), none a critique; 17 hold a marker, all a leaked "Human:". Read as critiques: 1,785 of
the 2,740 with eight words or more are told to be answers; the others speak to nobody, or have a word that critiques
have too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

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

_LABEL = (
    rf"(?m)^[^\w\n]{{0,9}}(?:\w+[,!.:] )?(?:{_PRESENTING})?(?:(?:the|my|a|an|your|one|possible) ){{0,2}}"
    rf"{_REWRITTEN} (?:[\w'-]+ ){{0,2}}?(?:version of {_FEW})?{_REPLY}(?:[^.:\n]{{0,80}}:|\W{{0,9}}$)"
)
"""A line that announces a rewritten answer: "Revised response:", "Here is the revised answer:"."""
_PRESENTED = rf"{_PRESENTING}{_FEW}(?:{_REWRITTEN} {_FEW}|(?:version|revision|rewrite) of {_FEW}){_REPLY}"
_ALWAYS_META = (
    _PRESENTED,
    rf"\b(?:this|the|my|in) (?:revised|rewritten|reworded|rephrased) {_REPLY}",
)
_META = (
    rf"{_PRESENTING}{_FEW}(?:{_REWRITTEN}|{_BETTER}) {_FEW}(?:version|message|text|revision|{_REPLY})"
    r"(?! of your\b)",
    rf"{_PRESENTING}{_FEW}(?:rewrite|revision|rewording|rephrasing)\b(?! of your\b)",
    r"\bi(?:'ve| have)? (?:also |just |now )*(?:revised|rewrote|rewritten|reworded|rephrased|toned down)\b(?! your\b)",
    r"\bi(?:'ve| have)? (?:also |just |now )*(?:removed|replaced|changed|avoided|omitted|edited|modified|adjusted|"
    rf"corrected|softened|left out|taken out|took out) (?:(?!your\b)[\w',-]+ ){{0,6}}?{_WORDING}",
    r"\b(?:let me|i'll|i will) (?:rephrase|revise|rewrite|reword|redo|try (?:that|this) again)\b(?! your\b)",
    rf"\b(?:apologi[sz]e|sorry) for (?:my|the|that|any) {_FEW}{_REPLY}",
    rf"\bmy {_EARLIER} {_REPLY}",
    r"\bthank(?:s| you) for (?:the|your|this|that) (?:\w+ )?(?:feedback|critique|criticism|correction)\b",
    r"\b(?:revision|critique) request\b",
)
_META_AT_THE_END = (
    *_META,
    rf"\bthe {_EARLIER} {_REPLY}",
    r"\bthis (?:revision|rewrite|rewording|(?:revised |new )?version|response|answer|reply) (?:\w+ly )?(?:removes|"
    r"avoids|eliminates|no longer|does not (?:contain|include|encourage|promote)|is (?:now )?(?:more|less|free)|"
    r"maintains|acknowledges|addresses|focuses|ensures|emphasi[sz]es|respects)\b",
    r"(?m)^[^\w\n]{0,9}(?:changes made|summary of (?:the )?changes|what (?:i )?(?:have )?changed|"
    r"(?:reasons?|explanation) (?:for|of) (?:the |my )?(?:changes?|revisions?))\b",
)

_STARTS = r"(?:^\W*|[.!?:,] )"
_CRITIQUES = (
    rf"\b(?:assistant|ai|chatbot|model)'s {_FEW}(?:answer|response|reply|message|advice|suggestion|statement)\b",
    rf"{_STARTS}the (?:ai )?assistant (?!manager|coach|director|principal|editor|professor|teacher|will\b|can\b)\w+",
    rf"{_STARTS}(?:this|the) (?:{_EARLIER} |last |first )?(?:response|reply) (?!to\b|of\b|from\b|time|rate|team)\w+",
    rf"{_STARTS}(?:this|the) (?:{_EARLIER}|last|first) answer (?!to\b)\w+",
    rf"{_STARTS}the {_EARLIER} (?:statement|message|request|sentence) (?!to\b)\w+",
    rf"{_STARTS}this is (?:a|an) (?:[\w-]+ ){{1,5}}{_REPLY}",
    rf"{_STARTS}(?:this|the|your|its) answer (?:\w+ly |also |itself )*(?:fails|failed|contains|could (?:be|have)|"
    r"should|would have|does not|did not|doesn't|didn't|lacks|encourages|promotes|provides|reveals|implies|ignores|"
    r"advises|treats|assumes|makes|uses|gives|helps|suggests that|"
    r"(?:is|was) (?:too|already|fine|only|(?:not )?(?:very |only )?(?:harm\w+|"
    r"help\w+|unhelpful|rude|cold|cruel|toxic|biased|racist|sexist|dangerous|unsafe|unethical|illegal|"
    r"offensive|evasive|preachy|misleading|inappropriate|appropriate|problematic|more|a)))\b",
    r"\bthere (?:is|was) nothing (?:to (?:correct|change|revise|fix|critici[sz]e|improve|remove)|"
    rf"(?:harmful|wrong|unkind|dangerous|offensive|unethical) (?:in|about|with) (?:the|this|that) {_FEW}{_REPLY})",
    r"\bno (?:changes?|revisions?|corrections?) (?:is|are|was|were) (?:needed|necessary|required)\b",
    r"^\W*critique\b",
)
_ABOUT_A_REPLY = (
    r"\b(?:answer|response|respond|repl(?:y|ies|ied)|assistant|ais?\b|chatbot|critique|critici|wording|phras|sentence|"
    r"statement|message|tone\b|stereotyp|harmful|offensive|insult|mocks|shames|belittl|implies|encourag|"
    r"promotes|assumes|treats|ignores|fails to|the (?:person|user|joke|advice|suggestion|details|text|claim))",
    r"\bit (?:tells|says|said|gives|gave|suggests|should|also|does|doesn't|did|makes|shows|explains|offers)\b",
    r"\bi should(?:n't| not)? have\b",
    r"\bnothing (?:to|here|that|in|wrong|is|needs)\b",
    r"\b(?:find|found|see|identif\w+) (?:no|nothing|any\w*)\b",
)
_TO_A_PERSON = r"\b(?:you|your|yours|yourself|you're|i'm|i'd|i'll|i can't|i cannot|i won't)\b"

_MARKERS = re.compile(
    r"^[ \t>*#_]*(?:Human|User|Assistant|System|CritiqueRequest|Critique Request|Critique request|Critique|"
    r"RevisionRequest|Revision Request|Revision request|Revision)[ \t*_]*:"
    r"|<\|[\w./-]{1,40}\|>|<\uff5c[^\s\uff5c]{1,40}\uff5c>|</?s>|</?think>|<(?:start|end)_of_turn>"
    r"|\[/?INST\]|<</?SYS>>|^#+[ \t]*(?:Instruction|Response|Human|Assistant):"
    r"|\[\[\[(?![\s\d\[.'\"+-])|(?<![\s\d\]'\"])\]\]\]",
    re.MULTILINE,
)


def marks_a_turn(text: str) -> bool:
    """Whether a line opens with a speaker's or a template's name and a colon, or a token that sets turns apart stands.

    Also `[[[` and `]]]`, by which our templates quote answers, unless numbers or strings stand inside as in code.
    """
    return _MARKERS.search(_ends(text)) is not None


def speaks_of_rewriting(text: str, revised: bool) -> bool:
    """Whether a text says that it is a rewritten answer, or how it came to be.

    Unless it is `revised`, only words count that name an answer, response or reply: a person may well ask for a
    rewritten letter, and hear what was changed.
    """
    plain = _plain(text)
    opening, ending = _opening(plain), _ending(plain)
    if announces_a_revision(text) or _holds(opening, _ALWAYS_META) or _holds(ending, _ALWAYS_META):
        return True
    return revised and (_holds(opening, _META) or _holds(ending, _META_AT_THE_END))


def announces_a_revision(text: str) -> bool:
    """Whether some line announces a rewritten answer, as in "Revised response:"."""
    return re.search(_LABEL, _plain(text)) is not None


def criticises(text: str) -> bool:
    """Whether a text opens as a critique does: with what an answer is, does or lacks.

    "Here is a rewritten version of the assistant's answer" is none: it presents a revision.
    """
    return _holds(re.sub(_PRESENTED, " ", _opening(_plain(text))), _CRITIQUES)


def answers_a_person(text: str) -> bool:
    """Whether a text of some length speaks to somebody, and nowhere of an answer or of what is wrong with one."""
    plain = _unquoted(_plain(text))
    if len(plain.split()) < FEWEST_WORDS or _holds(plain, _ABOUT_A_REPLY):
        return False
    return re.search(_TO_A_PERSON, plain) is not None


def without_quotes(text: str) -> str:
    """The text without what stands in double quotation marks within a line, and without quoted lines."""
    return _unquoted(re.sub("[\u201c\u201d]", '"', text))


def _unquoted(text: str) -> str:
    return re.sub(r'"[^"\n]*"|(?m:^[ \t]*>.*$)', " ", text)


def _ends(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n{text[-half:]}"


def _plain(text: str) -> str:
    """Lower case, straight quotes, no Markdown, single spaces; lines stay apart."""
    text = re.sub("[\u2018\u2019]", "'", re.sub("[\u201c\u201d]", '"', _ends(text))).lower()
    return "\n".join(" ".join(line.split()) for line in re.sub(r"[*#_`]", "", text).splitlines()).strip()


def _opening(plain: str) -> str:
    """The first two sentences or lines."""
    sentences = re.split(r"(?<=[.!?]) |\n", _unquoted(plain[:_OPENING]))
    return " ".join([sentence for sentence in sentences if sentence.strip()][:2])


def _ending(plain: str) -> str:
    """The last paragraph, or its last 600 characters."""
    return _unquoted(plain[-_ENDING:].split("\n\n")[-1])


def _holds(text: str, patterns: Sequence[str]) -> bool:
    return any(re.search(pattern, text) for pattern in patterns)
