"""Which language a text is in, where that can be told, and which one an answer should have.

The identifier is py3langid (Lui and Baldwin 2012, ACL demo, retrained): naive Bayes over byte n-grams, 139 languages,
its model within the package. A text is judged as a whole, by its first 5,000 characters: a sentence in another language
within a long answer passes, and so does an answer that changes its language late.

It takes some 0.3 ms a text, and most texts are English where English is expected. These are told apart by their
commonest words, which leaves the identifier the rest.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from cai.errors import InputError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST_PROBABILITY = 0.9
"""A language is told from here on. Of 11,114 English prompts and answers (hh-rlhf and its red-team questions) 9,627
have 24 bytes of letters or more; none of these is called anything but English, 328 are not told."""
FEWEST_BYTES = 24
"""Letters that a text must have, in bytes of UTF-8: 24 Latin letters, 12 Cyrillic ones, or 8 Chinese characters."""
MOST_CHARACTERS = 5_000
"""The part of a text that is read."""
QUESTIONS_KEPT = 1_024
"""Questions whose language is remembered: every round of a chain asks for it again."""

_NO_LANGUAGE = "zxx"
_KIN = {"pcm": "en", "yue": "zh", "wuu": "zh", "id": "ms", "nb": "no", "nn": "no", "bs": "hr", "sr": "hr"}
_KIN |= {"ary": "ar", "arz": "ar"}
"""Languages too close to tell apart in a few lines, each by the one it is counted as."""
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_NAMES = """
arabic bengali chinese czech danish dutch english finnish french german greek gujarati hebrew hindi hungarian indonesian
italian japanese korean latin malay mandarin norwegian persian polish portuguese punjabi romanian russian spanish
swahili swedish tamil thai turkish ukrainian urdu vietnamese
"""
_LANGUAGES = ("translat", *_NAMES.split())
_ABOUT_LANGUAGES = re.compile(
    rf"\btranslat|\b(?:in|into|to|from|speak|say|learn|write) (?:[a-z]+ )?(?:{'|'.join(_NAMES.split())})\b"
)

_COMMON_IN_ENGLISH = """
about after against also and another any anything are around ask at away be because been before being best better both
but by can can't could did didn't different does doesn't doing don't each even every everything feel few find first for
from get give go going good great had has have having he help her here him his how i'd i'll i'm i've if into is isn't it
it's its just keep kind know let let's like likely little long look lot make making many may maybe mean might money more
most much must my need never new not of off often one only or other our out own people please probably really right said
same see she should since some someone something sometimes sorry still such sure take talk tell than thank that that's
the their them then there there's these they they're thing things think this those though through time to too try trying
two under until up us use used using very want was way ways we well were what what's when where whether which while who
why will with without won't would wouldn't yes you you'd you'll you're you've your yourself
"""
_COMMON_ELSEWHERE = """
ada aby af ale att av avec bir bu che como con da das dat de dei del della den der det di dla du ein eine el em en er es
est et har het ich ikke il ini inte ist ja jest jika je kama kan kwa la las le les los mas mit na nao ne nem ni nicht
nie niet och og om para pas por que se si sie skal som tidak til um uma una und une untuk ve ver vi von ya yang za ze zu
"""
_ENGLISH = frozenset(word for small in _COMMON_IN_ENGLISH.split() for word in (small, small.capitalize()))
_FOREIGN = frozenset(word for small in _COMMON_ELSEWHERE.split() for word in (small, small.capitalize()))
"""Small or with a capital: a text in capitals alone is left to the identifier."""


def known(code: str) -> str:
    """The ISO 639-1 code as it is compared: lower case, without a region, close relatives as one.

    Raises InputError for a language that the identifier does not know.
    """
    language = code.replace("_", "-").split("-")[0].lower()
    kin = _KIN.get(language, language)
    if kin == _NO_LANGUAGE or kin not in _identifier().labels:
        raise InputError(f"language {code!r} cannot be told apart here; give an ISO 639-1 code such as 'en', or none")
    return kin


def language_of(text: str) -> str | None:
    """The language of a text, close relatives as one; None where it has too few letters or is not clear.

    Code, links and inline code do not count.
    """
    prose = _prose(text)
    if not _has_letters(prose):
        return None
    language, probability = _likeliest(prose)
    return language if probability >= LEAST_PROBABILITY and language != _NO_LANGUAGE else None


def wrong_language(text: str, expected: str | None) -> bool:
    """Whether a text is clearly in another language than expected; with no expectation nothing is loaded.

    Raises what `known` raises.
    """
    if expected is None or (expected == "en" and plainly_english(text)):
        return False
    found = language_of(text)
    return found is not None and found != known(expected)


def expected_language(question: str, default: str | None) -> str | None:
    """The language that an answer should have: that of the question where it can be told, else `default`.

    None, which is not checked, where neither is known, and where the question itself is about a language ("translate",
    "in French"): the rule reads that in English only, so a translation asked for in another language is expected in
    the language of the question.
    """
    return _expected(question[:MOST_CHARACTERS], default)


def plainly_english(text: str) -> bool:
    """Whether a text is English beyond doubt: `language_of` calls such a text "en", or nothing, and never another.

    Three words in ten must be among the commonest of English, three of them distinct, none among the commonest of
    other languages, and nearly all characters ASCII. This holds for nine in ten English texts from eight words on (of
    18,222 turns of hh-rlhf and questions of red teams and XSTest). `language_of` calls none of these foreign, nor any
    of the 1,406 messages, mostly left untranslated, that pass out of 671,185 in 190 languages (the catalogues of a
    Debian system); but three of 5,924 random mixes of English and foreign fragments that it calls foreign pass.
    """
    read = _prose(text)
    if not read.isascii():
        read = read.replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"')
    words = read.split()
    common = list(filter(_ENGLISH.__contains__, words))
    return (
        10 * len(common) >= 3 * len(words)
        and len(set(common)) >= 3
        and len(read) <= 8 * len(words)
        and _FOREIGN.isdisjoint(words)
        and (read.isascii() or len(read.encode("ascii", "ignore")) >= 0.98 * len(read))
    )


@lru_cache(maxsize=QUESTIONS_KEPT)
def _expected(question: str, default: str | None) -> str | None:
    lowered = question.lower()
    if any(map(lowered.__contains__, _LANGUAGES)) and _ABOUT_LANGUAGES.search(lowered):
        return None
    if default == "en" and plainly_english(question):
        return default
    return language_of(question) or default


def _prose(text: str) -> str:
    read = text[:MOST_CHARACTERS]
    return _NOT_PROSE.sub(" ", read) if "`" in read or "://" in read else read


def _has_letters(text: str) -> bool:
    """Whether there are enough of them; in most texts the first 100 characters tell."""
    if sum(map(str.isalpha, text[:100])) >= FEWEST_BYTES:
        return True
    return len("".join(filter(str.isalpha, text)).encode(errors="surrogatepass")) >= FEWEST_BYTES


def _likeliest(prose: str) -> tuple[str, float]:
    """The language that leads, and its probability with those of its close relatives.

    Another group of relatives may have more, but not `LEAST_PROBABILITY`: of three languages with so much together one
    has more than all others, and so would lead.
    """
    ranked = _identifier().rank(prose)
    leader = str(ranked[0][0])
    language, probability = _KIN.get(leader, leader), 0.0
    for label, share in ranked:
        if _KIN.get(label, label) == language:
            probability += share
    return language, probability


@cache
def _identifier() -> LanguageIdentifier:
    """The model, read once a process from the package itself."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
