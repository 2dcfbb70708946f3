"""The plain twin of `cai.hygiene`: the same rules without shortcuts, so every pattern is tried on every text.

Patterns, limits and the order of flags are the package's own; how they are looked for is written anew.
"""

from __future__ import annotations

import re
from collections import Counter

from cai import languages, repeats, wording_rules, wordings
from cai.hygiene import COPIED, ECHOED, FLAGS
from cai.records import Completion
from cai.wording_rules import Rule


def answer_flags(reply: Completion, language: str | None) -> tuple[str, ...]:
    return flags(reply, language, {"meta-talk": speaks_of_rewriting(reply.text, revised=False)})


def critique_flags(reply: Completion, answer: str, language: str | None) -> tuple[str, ...]:
    text = reply.text
    copied = share_taken(unquoted(straight(text)), answer) >= ECHOED
    return flags(
        reply, language, {"revision-not-critique": copied or announces_a_revision(text) or answers_a_person(text)}
    )


def revision_flags(reply: Completion, before: str, critique: str | None, language: str | None) -> tuple[str, ...]:
    text = reply.text
    copied = critique is not None and share_taken(text, critique, before) >= COPIED
    found = {
        "unchanged": text.split() == before.split(),
        "meta-talk": speaks_of_rewriting(text, revised=True),
        "critique-not-revision": criticises(text) or copied,
    }
    return flags(reply, language, found)


def flags(reply: Completion, language: str | None, found: dict[str, bool]) -> tuple[str, ...]:
    text = reply.text
    if not any(character.isprintable() and not character.isspace() for character in text):
        found = {"empty": True}
    else:
        found |= {"turn-marker": marks_a_turn(text), "repetition": loops(text)}
        found["wrong-language"] = wrong_language(text, language)
    found["truncated"] = reply.finish == "length"
    return tuple(flag for flag in FLAGS if found.get(flag, False))


def expected_language(question: str, default: str | None) -> str | None:
    if languages._ABOUT_LANGUAGES.search(question[: languages.MOST_CHARACTERS].lower()):
        return None
    return language_of(question) or default


def wrong_language(text: str, expected: str | None) -> bool:
    found = None if expected is None else language_of(text)
    return expected is not None and found is not None and found != languages.known(expected)


def language_of(text: str) -> str | None:
    """By the probabilities of all languages, always."""
    prose = languages._NOT_PROSE.sub(" ", text[: languages.MOST_CHARACTERS])
    letters = "".join(character for character in prose if character.isalpha())
    if len(letters.encode(errors="surrogatepass")) < languages.FEWEST_BYTES:
        return None
    probabilities: Counter[str] = Counter()
    for label, probability in languages._identifier().rank(prose):
        probabilities[languages._KIN.get(label, label)] += probability  # type: ignore[assignment]
    best = max(probabilities, key=probabilities.__getitem__)
    return best if probabilities[best] >= languages.LEAST_PROBABILITY and best != "zxx" else None


def loops(text: str) -> bool:
    """By every length of a piece, and one word after the other."""
    words = words_of(text)
    runs = runs_of(words)
    few = len(words) >= repeats.FEWEST_WORDS and len(runs) / runs.total() < repeats.LEAST_DISTINCT
    longest = min(repeats.LONGEST_LOOP, len(words) // 3)
    return (
        any(echo(words, length) >= max(2 * length, repeats.FEWEST_REPEATED) for length in range(1, longest + 1))
        or few
        or repeats._STUTTER.search(cut(text, repeats.MOST_CHARACTERS)) is not None
    )


def echo(words: list[str], distance: int) -> int:
    """The most words in a row that each equal the word `distance` before them."""
    longest = now = 0
    for index in range(distance, len(words)):
        now = now + 1 if words[index] == words[index - distance] else 0
        longest = max(longest, now)
    return longest


def share_taken(text: str, source: str, known: str = "") -> float:
    ours, theirs, before = (runs_of(words_of(part)) for part in (text, source, known))
    return ((ours & theirs) - before).total() / max(1, ours.total())


def words_of(text: str) -> list[str]:
    return repeats._WORD.findall(cut(text, repeats.MOST_CHARACTERS).lower())


def runs_of(words: list[str]) -> Counter[tuple[str, ...]]:
    size = 3 if len(words) >= 3 else max(1, len(words))
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def marks_a_turn(text: str) -> bool:
    read = cut(text, wordings.MOST_CHARACTERS)
    return re.search(f"{wording_rules.SPEAKER}|{wording_rules.MARK}", read) is not None


def speaks_of_rewriting(text: str, revised: bool) -> bool:
    first, last = opening(text), ending(text)
    rules = wording_rules.META if revised else wording_rules.ALWAYS_META
    at_the_end = wording_rules.META_AT_THE_END if revised else ()
    return announces_a_revision(text) or holds(first, rules) or holds(last, (*rules, *at_the_end))


def announces_a_revision(text: str) -> bool:
    return holds(plain(text), (wording_rules.LABEL,))


def criticises(text: str) -> bool:
    return holds(re.sub(wording_rules.PRESENTED, " ", opening(text)), wording_rules.CRITIQUES)


def answers_a_person(text: str) -> bool:
    read = unquoted(plain(text))
    about = holds(read, wording_rules.ABOUT_A_REPLY)
    return len(read.split()) >= wordings.FEWEST_WORDS and not about and holds(read, (wording_rules.TO_A_PERSON,))


def holds(text: str, rules: tuple[Rule, ...]) -> bool:
    return any(re.search(rule.pattern, text) for rule in rules)


def opening(text: str) -> str:
    sentences = re.split(r"(?<=[.!?]) |\n", unquoted(plain(text)[: wordings._OPENING]))
    return " ".join([sentence for sentence in sentences if sentence.strip()][:2])


def ending(text: str) -> str:
    return unquoted(plain(text)[-wordings._ENDING :].split("\n\n")[-1])


def plain(text: str) -> str:
    read = re.sub(r"[*#_`]", "", straight(cut(text, wordings.MOST_CHARACTERS)).lower())
    return "\n".join(" ".join(line.split()) for line in read.splitlines()).strip()


def straight(text: str) -> str:
    return re.sub("[\u2018\u2019]", "'", re.sub("[\u201c\u201d]", '"', text))


def unquoted(text: str) -> str:
    return re.sub(r'"[^"\n]*"|(?m:^[ \t]*>.*$)', " ", text)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}\n{text[-(most // 2) :]}"
