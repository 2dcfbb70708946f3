"""The verdict that a judge's words hold: the last that is its own and is meant.

What it quotes, denies, asks, supposes or tells of others is none. A doubtful one is passed over, as an unread verdict
trains nothing and a wrong one trains the opposite.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cai.quotations import Span, blanked, unwrapped, without

_KIND = r"(?i:option |answer |response )?"
_ANOTHER = (
    r"(?!\W*(?:or|and|nor)\b)"
    rf"(?![\])*\s]{{0,9}}(?:[/|&+=~<\u2248]|vs\b|versus\b)=?[\s(\[*]{{0,9}}{_KIND}[\[(*]{{0,9}}[AB]\b)"
    rf"(?![\])*\s]{{0,9}},[\s(\[*]{{0,9}}{_KIND}[\[(*]{{0,9}}[AB]\b(?![\])*]{{0,9}} [a-z]))"
)
_NAMED = rf"{_KIND}[\[(*]{{0,9}}([AB])\b{_ANOTHER}"
_NO_ARTICLE = r"(?!(?<=A) (?!because\b|since\b|as\b|if\b|unless\b)[a-z])"
_SIGNS = r"[^\w\n>]{0,19}"
"""Within a line. Bounded, as the signs before a label are, or 20,000 line breaks were read for a minute."""
_CUE = r"(?i:\b(?:answer|verdict|choice|decision|preference)\W{0,19}(?:\bis\b|:)\W{0,19})"
_CHOSEN = r"(?i:\bI(?:'d| would)? (?:choose|prefer|pick|select) )"
_VERDICTS = re.compile(
    rf"{_CUE}{_NAMED}{_NO_ARTICLE}"
    rf"|{_CHOSEN}{_NAMED}"
    rf"|(?<!or )(?<!or \()(?<![/|&+]){_NAMED}[\])*]* (?i:is (?:the |clearly |much )*(?:better|best))\b"
    rf"|^{_SIGNS}{_NAMED}{_SIGNS}$(?<!:)",
    re.MULTILINE,
)
"""What counts as a verdict: a label that is only mentioned, or heads what is said of it, does not."""
_ASKED_FOR = re.compile(rf"(?:{_CUE}|{_CHOSEN})\W{{0,9}}$")
_ONLY_A_LABEL = re.compile(rf"\W{{0,19}}{_KIND}[\[(*]{{0,9}}[AB]\W{{0,19}}")

_NEAR, _MOST = 400, 200
"""Characters of a sentence that are read before and after a verdict, and how many verdicts are looked at from the last:
60,000 took half a minute."""
_SENTENCE = re.compile(r"[.!?](?=[\s*_)\]]|$)|\n")
_TURNS = re.compile(
    r";|\b(?:but|so(?! far| much| long)|(?<!not )(?<!n.t )yet|hence|therefore|thus|however|because|since|while|whereas"
    r"|although|though|then|which is why)\b",
    re.IGNORECASE,
)
"""Where a sentence goes on to say something else."""
_LABEL = r"[(\[*]{0,3}\b[AB]\b[)\]*]{0,3}"
_OTHERS = (
    rf"(?:\b(?i:some|others?|many|most|few|people|critics?|someone|anyone|one|you|it|they|he|she|which|who|users?"
    r"|humans?|repl(?:y|ies)|responses?|answers?|assistants?|options?|messages?|texts?|completions?|outputs?|authors?"
    rf"|latter|former|first|second)\b|{_LABEL})"
)
_SAYS = (
    r"\b(?i:sa(?:y|ys|id|ying)|claim(?:s|ed|ing)?|argu(?:e|es|ed|ing)|assert(?:s|ed|ing)?|insist(?:s|ed|ing)?"
    r"|stat(?:es?|ed|ing)|declar(?:es?|ed|ing)|tell(?:s|ing)?|told|wr(?:ites?|ote|iting)|reads?|ends?|ended|ending"
    r"|conclud(?:es?|ed|ing)|closes?|th(?:ink|inks|ought)|believes?|feel|holds?|maintains?|pretends?|suggests?"
    r"|announc(?:es?|ed|ing)|repeats?|quot(?:es?|ed|ing)|demand(?:s|ed|ing)?|instruct(?:s|ed|ing)?|orders?|asks?|asked"
    r"|wants?|urg(?:es?|ed|ing)|tr(?:y|ies|ied|ying)|attempts?|contends?|reckons?|begins?|starts?|contains?|includes?)\b"
)
_SAY_OTHERS = rf"{_OTHERS}(?:[\s'\u2019*_)\],]+(?!(?i:I|we|to)\b)\w+){{0,4}}?[\s'\u2019*_)\],]+{_SAYS}"
_INTRODUCED = re.compile(rf"{_SAY_OTHERS}[^.;!?]{{0,80}}:[\s*_]*$")
_THEN = r"(?<!\band )(?<!\band the )(?<!\band my )"
"""A sentence that ends so has begun to say something else."""
_TOLD = re.compile(
    rf"{_SAY_OTHERS}(?:(?: (?:me|us|you|everyone|the judge))?(?:\s*[:,]|\s+(?:that|the following|as follows)\b).*"
    rf"|[^,;:]*{_THEN})$"
    rf"|\b(?i:according to (?:the |its |this )?){_OTHERS}.*$"
    rf"|(?:\b(?i:its|their|his|her|your)|(?:{_LABEL}|\b(?i:reply|response|answer|assistant|option|user|human|author|first"
    r"|second|one|other))['\u2019]s?)(?: (?i:own|final|last))* ?$",
    re.DOTALL,
)
"""What the sentence tells of others, who are somebody in the conversation and no principle."""
_NOT = r"(?:n['\u2019]?t\b|\b(?i:not|cannot|never|hardly|no longer)\b)"
_CLAUSE = rf"[^,;:]*{_THEN}$"
_DENIED = re.compile(
    rf"{_NOT}(?! only\b)(?:\s+(?!(?i:deny|doubt)\b)\w+){{0,6}}?\s+(?i:th(?:ink|at)|believe|say|saying|agree|feel|find"
    r"|see|consider|claim|call|mean|follow|convinced|persuaded|sure|certain|clear|evident|obvious|true|right|correct"
    rf"|the case|possible|because|choose|prefer)\b(?:,[^,;:]*,)?{_CLAUSE}"
    rf"|{_NOT} $"
    rf"|\b(?i:nothing|nobody|none|no one|neither|nor|no (?:evidence|reason|sign|way|basis|proof))\b{_CLAUSE}"
    rf"|(?<!no )(?<!without )(?<!without a )(?<!beyond )(?<!any )(?<!n't )(?<!not )\b(?i:doubt(?:s|ful)?|den(?:y|ies)"
    rf"|disagree|wrong (?:to|that)|false|mistaken|incorrect|untrue|unclear|unsure|uncertain|unlikely|impossible"
    rf"|(?:hard|difficult|tough) to (?:say|tell|know|decide|judge|see|claim))\b{_CLAUSE}"
    r"|\b(?i:worse|worst|wrong|incorrect|inferior|weaker|poorer|bad|unsafe|rejected|losing|riskier|more (?:harmful"
    r"|dangerous|toxic|offensive)|less (?:helpful|harmless|safe|honest|kind|ethical|good))[ *]*$"
)
_SUPPOSED = re.compile(
    rf"\b(?i:if|whether|unless|suppos(?:e|ing)|assum(?:e|ing)|imagine|perhaps|maybe|possibly|(?:may|might|could) be)\b"
    rf"(?:,[^,;:]*,)?{_CLAUSE}"
    r"|\b(?i:if (?:you|the user|users|someone|they)\b(?! (?:ask|asked|must)\b))[^,;:]*, $"
)
_ONLY_IF = re.compile(
    rf"[\])*]{{0,9}}(?: (?i:than|over) {_KIND}{_LABEL})?[\s,]{{0,3}}(?i:(?:but |and )?(?:only )?"
    r"(?:if|unless|provided|assuming|depending)\b(?! (?:i|we|pressed|forced|asked)\b))"
)
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*\u2022]|\d{1,3}[.)])[ \t]")
_WRAPPED = re.compile(r"\b(that|whether|if|think|believe|says?|claims?|argues?)\n(?!\n)")


def written_label(text: str) -> str | None:
    """The label that the last verdict in a text names; None where there is no verdict, or only such as are not meant.

    A verdict that is taken back later ("I don't think (A) is better") is none either.
    """
    text = _own_words(text)
    denied = set[str]()
    for match in reversed(list(_VERDICTS.finditer(text))[-_MOST:]):
        label, before = next(filter(None, match.groups())), _clause(text, match.start())
        if _DENIED.search(before):
            denied.add(label)
        elif not (_TOLD.search(before) or _SUPPOSED.search(before) or _asked_or_conditional(text, match)):
            return None if label in denied else f" ({label})"
    return None


def _own_words(text: str) -> str:
    """The same without what it quotes with marks, or introduces as the words of somebody else."""
    text = _WRAPPED.sub(r"\1 ", unwrapped(text))
    text = without(text, lambda start, end: _names_its_choice(text, start, end))
    return blanked(text, _introduced(text))


def _names_its_choice(text: str, start: int, end: int) -> bool:
    """Whether marks stand around a mere label where one is due: The answer is "(B)"."""
    return bool(_ONLY_A_LABEL.fullmatch(text, start, end) and _ASKED_FOR.search(text[max(0, start - 90) : start]))


def _introduced(text: str) -> Iterator[Span]:
    """The list or the paragraph after each line that ends as "The second reply ends:" does."""
    at, lines = 0, text.split("\n")
    waiting = within = listed = False
    for line in lines:
        filled = bool(line.strip())
        if waiting and filled:
            waiting, within, listed = False, True, bool(_LIST_ITEM.match(line))
        elif within and (not filled or (listed and not _LIST_ITEM.match(line))):
            within = False
        if within:
            yield at, at + len(line)
        elif filled:
            waiting = line.rstrip(" \t*_").endswith(":") and bool(_INTRODUCED.search(_clause(text, at + len(line))))
        at += len(line) + 1


def _clause(text: str, end: int) -> str:
    """What its sentence says before a place, from where it last turned."""
    sentence = _SENTENCE.split(text[max(0, end - _NEAR) : end])[-1]
    return _TURNS.split(sentence)[-1]


def _asked_or_conditional(text: str, match: re.Match[str]) -> bool:
    """Whether the sentence of a verdict asks it, or holds it under a condition."""
    after = text[match.end() : match.end() + _NEAR]
    ending = _SENTENCE.search(after)
    asks = "?" in match[0] or (ending is not None and ending[0] == "?")
    return asks or _ONLY_IF.match(after) is not None
