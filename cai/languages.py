"""Which language a text is in, where that can be told, and which one an answer should have.

The identifier is py3langid (Lui and Baldwin 2012, ACL demo, retrained): naive Bayes over byte n-grams, 139 languages,
its model within the package. A text is judged as a whole, by its first 5,000 characters: a sentence in another language
within a long answer passes, and so does an answer that changes its language late.
"""

from __future__ import annotations

import re
from functools import cache
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

_NO_LANGUAGE = "zxx"
_KIN = {"pcm": "en", "yue": "zh", "wuu": "zh", "id": "ms", "nb": "no", "nn": "no", "bs": "hr", "sr": "hr"}
_KIN |= {"ary": "ar", "arz": "ar"}
"""Languages too close to tell apart in a few lines, each by the one it is counted as."""
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_ABOUT_LANGUAGES = re.compile(
    r"\btranslat|\b(?:in|into|to|from|speak|say|learn|write) (?:[a-z]+ )?(?:arabic|bengali|chinese|czech|danish|dutch|"
    r"english|finnish|french|german|greek|gujarati|hebrew|hindi|hungarian|indonesian|italian|japanese|korean|latin|"
    r"malay|mandarin|norwegian|persian|polish|portuguese|punjabi|romanian|russian|spanish|swahili|swedish|tamil|thai|"
    r"turkish|ukrainian|urdu|vietnamese)\b"
)


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
    prose = _NOT_PROSE.sub(" ", text[:MOST_CHARACTERS])
    letters = "".join(character for character in prose if character.isalpha())
    if len(letters.encode(errors="surrogatepass")) < FEWEST_BYTES:
        return None
    probabilities: dict[str, float] = {}
    for label, probability in _identifier().rank(prose):
        language = str(label)
        kin = _KIN.get(language, language)
        probabilities[kin] = probabilities.get(kin, 0.0) + probability
    best = max(probabilities, key=probabilities.__getitem__)
    return best if probabilities[best] >= LEAST_PROBABILITY and best != _NO_LANGUAGE else None


def wrong_language(text: str, expected: str | None) -> bool:
    """Whether a text is clearly in another language than expected; with no expectation nothing is loaded.

    Raises what `known` raises.
    """
    if expected is None:
        return False
    found = language_of(text)
    return found is not None and found != known(expected)


def expected_language(question: str, default: str | None) -> str | None:
    """The language that an answer should have: that of the question where it can be told, else `default`.

    None, which is not checked, where neither is known, and where the question itself is about a language ("translate",
    "in French"): the rule reads that in English only, so a translation asked for in another language is expected in
    the language of the question.
    """
    if _ABOUT_LANGUAGES.search(question[:MOST_CHARACTERS].lower()):
        return None
    return language_of(question) or default


@cache
def _identifier() -> LanguageIdentifier:
    """The model, read once a process from the package itself."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
