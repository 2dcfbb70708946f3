"""Repetition and copying against slow plain twins, by hand, and on hostile texts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.repeats import (
    _STUTTER,
    _WORD,
    FEWEST_REPEATED,
    FEWEST_WORDS,
    LEAST_DISTINCT,
    LONGEST_LOOP,
    _stutters,
    _words,
    loops,
    share_taken,
    takes,
)

SAID = (
    "Tell your neighbour when the dog barks, since they may not know. If nothing changes, write down the times and "
    "call the council. Until then, earplugs can help, and so can a fan."
)
STUCK = [
    "The answer is wrong. This is a lie. This is a lie. This is a lie. This is a lie.",
    "no " * 9,
    SAID + " And then we wait for the bus again." * 3,
    "I'm sure that they are glad. " * 4,
    "Alright, alright, alright. Alright, alright. Alright, alright. Alright, alright.",
    "\U0001f44f\n" * 12,
    "\u6211\u4e0d\u77e5\u9053\u3002" * 5,
    "\u0e09\u0e31\u0e19\u0e44\u0e21\u0e48\u0e23\u0e39\u0e49" * 5,
    "!" * 60,
    "She told a lie about her sister, and she told a lie about her mother, and she told a lie about her father, and "
    "she told a lie about her cousin, and she told a lie about her brother.",
    "aha" + "ha" * 60,
]
FINE = [
    "",
    SAID,
    "No, no, no! Please don't.",
    "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
    "very " * 8,
    "| a | b |\n|---|---|\n| 1 | 2 |\n" + "-" * 80 + "\n" + "=" * 80 + "\n" + "." * 80,
    "1. Flour\n2. Water\n3. Salt\n4. Yeast\n5. Time\n6. Patience\n7. Heat\n8. Butter\n9. Jam",
    "He turned left. He turned right. He turned round and ran home, where his mother was waiting with the soup.",
]


@pytest.mark.parametrize("text", STUCK)
def test_a_text_that_is_stuck_loops(text: str) -> None:
    assert loops(text)


@pytest.mark.parametrize("text", FINE)
def test_ordinary_emphasis_lists_and_rulers_do_not_loop(text: str) -> None:
    assert not loops(text)


def test_a_loop_at_the_end_of_a_long_text_is_seen() -> None:
    long = " ".join(f"word{number}" for number in range(20_000))
    assert not loops(long)
    assert loops(f"{long} and so on and on and so on and on and so on and on")


def returns_slowly(words: list[str]) -> bool:
    """Every start and every length, one comparison after the other."""
    for length in range(1, LONGEST_LOOP + 1):
        for start in range(len(words)):
            echo = 0
            while start + length + echo < len(words) and words[start + echo] == words[start + length + echo]:
                echo += 1
            if echo >= FEWEST_REPEATED and echo >= 2 * length:
                return True
    return False


def distinct_slowly(words: list[str]) -> float:
    runs = [words[start : start + 3] for start in range(len(words) - 2)]
    return sum(run not in runs[:place] for place, run in enumerate(runs)) / len(runs)


@given(st.lists(st.sampled_from(["salt", "milk", "tea"]), max_size=70))
def test_loops_agrees_with_a_plain_twin(words: list[str]) -> None:
    few = len(words) >= FEWEST_WORDS and distinct_slowly(words) < LEAST_DISTINCT
    assert loops(" ".join(words)) == (returns_slowly(words) or few)


def taken_slowly(text: list[str], source: list[str], known: list[str]) -> float:
    """Runs of the text that are struck from a copy of the source, less those that the known text has as well."""
    size = min(3, len(text))
    ours, theirs, before = (
        [words[start : start + size] for start in range(len(words) - size + 1)] for words in (text, source, known)
    )
    total = len(ours)
    shared = []
    for run in ours:
        if run in theirs:
            theirs.remove(run)
            shared.append(run)
    for run in before:
        if run in shared:
            shared.remove(run)
    return len(shared) / total


WORDS = st.lists(st.sampled_from(["salt", "milk", "tea", "egg"]), min_size=3, max_size=25)


@given(WORDS, WORDS, WORDS)
def test_share_taken_agrees_with_a_plain_twin(text: list[str], source: list[str], known: list[str]) -> None:
    share = share_taken(" ".join(text), " ".join(source), " ".join(known))
    assert share == pytest.approx(taken_slowly(text, source, known))


def test_share_taken_by_hand() -> None:
    assert share_taken("a b c d", "a b c d") == 1
    assert share_taken("a b c d", "x a b c y") == 0.5
    assert share_taken("a b c d", "x a b c y", known="a b c") == 0
    assert share_taken("A, b! C?", "a b c") == 1
    assert share_taken("yes", "yes") == 1
    assert share_taken("", "anything at all") == 0
    assert share_taken("anything at all", "") == 0


@given(WORDS, WORDS, WORDS, st.sampled_from([0.1, 0.5, 0.75, 1.0]))
def test_a_text_takes_what_its_share_says(text: list[str], source: list[str], known: list[str], least: float) -> None:
    ours, theirs, before = (" ".join(words) for words in (text, source, known))
    assert takes(ours, theirs, least, before) == (share_taken(ours, theirs, before) >= least)


def test_takes_by_hand() -> None:
    assert takes("a b c d", "x a b c y", 0.5)
    assert not takes("a b c d", "x a b c y", 0.6)
    assert not takes("a b c d", "x a b c y", 0.5, known="a b c")
    assert takes("yes", "yes", 1)
    assert not takes("", "yes", 0.1)


MARKS = " \n\t\x00\x1c'-_.,!?*\u2019\u201c\u2014\u2026\u00e9\u0130\u6211\U0001f44faB7"


@given(st.one_of(st.text(), st.text(alphabet=MARKS)))
def test_words_are_those_of_the_pattern(text: str) -> None:
    assert list(_words(text)) == _WORD.findall(text.lower())


@given(st.lists(st.tuples(st.text(alphabet="ha!- \n\u3000.", min_size=1, max_size=5), st.integers(1, 50)), max_size=6))
def test_a_stutter_is_found_wherever_it_stands(pieces: list[tuple[str, int]]) -> None:
    text = "".join(piece * times for piece, times in pieces)
    assert _stutters(text) == (_STUTTER.search(text) is not None)


@given(st.text(), st.text(), st.text())
def test_any_texts_have_a_share(text: str, source: str, known: str) -> None:
    assert 0 <= share_taken(text, source, known) <= share_taken(text, source) <= 1
    assert isinstance(loops(text), bool)


@pytest.mark.parametrize("piece", ["a", "a b ", "x" * 39 + "y", "\u4f60\u597d", "\U0001f44f\n", " ", "\0", "-'"])
def test_a_million_characters_are_quick(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begun = time.perf_counter()
    loops(text)
    share_taken(text, text)
    assert time.perf_counter() - begun < 2
