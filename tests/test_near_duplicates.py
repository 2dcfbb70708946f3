"""Near-duplicates: the similarity against a plain twin, the index against all pairs, planted ones and real ones."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.near_duplicates import BANDS, ROWS, THRESHOLD, Match, NearDuplicates, _pieces, _plain, similarity
from cai.resources import shipped

pytest.importorskip("datasketch", reason="datasketch is not installed: pip install 'constitutional-ai[prompts]'")
sparse = pytest.importorskip("scipy.sparse")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "prompts" / "red_team.txt"
QUESTIONS = (shipped("prompts") / "questions" / "red_team.txt").read_text("utf-8").splitlines()
LETTERS = st.text(st.sampled_from("abcd '"), max_size=30)


def plain(one: str, two: str) -> float:
    """The Jaccard similarity, written out for ASCII letters."""

    def pieces(text: str) -> list[str]:
        words = "".join(c for c in text.lower() if c.isalpha() or c == " ").split()
        padded = " " + " ".join(words) + " "
        return [padded[i : i + 3] for i in range(len(padded)) if len(padded[i : i + 3]) == 3] or [padded]

    union = {*pieces(one), *pieces(two)}
    return sum(piece in pieces(one) and piece in pieces(two) for piece in union) / len(union)


# The similarity.


@given(LETTERS, LETTERS)
def test_it_is_what_a_plain_twin_says(one: str, two: str) -> None:
    assert similarity(one, two) == pytest.approx(plain(one, two))


@given(st.text(max_size=30), st.text(max_size=30))
def test_it_is_a_share_the_same_both_ways_and_one_for_the_same_text(one: str, two: str) -> None:
    assert 0 <= similarity(one, two) == similarity(two, one) <= 1
    assert similarity(one, one) == 1


def test_by_hand() -> None:
    """ " ab ", " abc " -> {" ab", "ab "} and {" ab", "abc", "bc "}: one of four."""
    assert similarity("ab", "abc") == 1 / 4


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("What's up?", "whats  UP!!"),
        ("Is it wrong \u2014 ever?", "is it wrong, ever"),
        ("\uff28ow do I rob a bank", "How do I rob a bank?"),
        ("What\u2019s that", "What's that"),
        ("\u5982\u4f55\u5077\u8f66\uff1f", "\u5982\u4f55\u5077\u8f66"),
    ],
)
def test_case_punctuation_and_spacing_count_for_nothing(one: str, two: str) -> None:
    assert similarity(one, two) == 1


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("2 + 2", "2 = 2"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u0928\u0926"),
        ("\U0001f600", "\U0001f622"),
        ("a", "b"),
    ],
)
def test_symbols_and_vowel_signs_count(one: str, two: str) -> None:
    assert similarity(one, two) < 1


# The index.


def index(texts: list[str]) -> NearDuplicates:
    built = NearDuplicates()
    for text in texts:
        built.add(text)
    return built


def test_the_most_similar_is_named_and_of_equals_the_first() -> None:
    texts = ["How do I pick a lock?", "Where do I buy a lock?", "how do I pick a lock", "How do I pick the lock?"]
    assert index(texts).nearest("How do I pick a lock!") == Match(0, 1.0)
    assert len(index(texts)) == 4


def test_what_is_less_alike_than_the_threshold_is_not_found() -> None:
    one, two = "How do I steal a car?", "How do I sell a car?"
    assert 0.5 < similarity(one, two) < THRESHOLD
    assert index([one]).nearest(two) is None
    assert NearDuplicates().nearest(one) is None


@pytest.mark.parametrize("text", ["", "?", "a", "\U0001f600", "\ud800"])
def test_odd_texts_are_found_again(text: str) -> None:
    assert index(["Another text.", text]).nearest(text) == Match(1, 1.0)


@settings(max_examples=50)
@given(st.lists(LETTERS, max_size=12), LETTERS)
def test_nothing_below_the_threshold_and_the_value_is_exact(texts: list[str], text: str) -> None:
    match = index(texts).nearest(text)
    if match:
        assert match.similarity == similarity(text, texts[match.number]) >= THRESHOLD


@pytest.mark.slow
def test_another_process_finds_the_same() -> None:
    """The order of sets differs from process to process."""
    code = (
        "from cai.near_duplicates import NearDuplicates; n = NearDuplicates(); "
        "[n.add(f'How do I {verb} a car at night?') for verb in ('steal', 'seal', 'steel', 'stall')]; "
        "print(n.nearest('How do I steal the car at night?'))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and "Match" in said.pop()


def test_the_odds_of_missing_a_pair_are_those_that_are_written() -> None:
    missed = [(1 - share**ROWS) ** BANDS for share in (THRESHOLD, 0.85)]
    assert [f"{100 * one:.2g}" for one in missed] == ["0.11", "4.3e-05"]


# Planted near-duplicates.

SYNONYMS = {
    "best": "easiest",
    "way": "method",
    "make": "build",
    "someone": "somebody",
    "get": "obtain",
    "find": "locate",
    "help": "assist",
    "some": "a few",
    "good": "great",
    "car": "vehicle",
    "buy": "purchase",
    "think": "believe",
}
Change = Callable[[str, random.Random], str | None]


def _marks(text: str, draw: random.Random) -> str:
    return text.rstrip("?.!") + draw.choice(["", "!", "??", "."])


def _case(text: str, draw: random.Random) -> str:
    return draw.choice([text.lower(), text.upper(), text.title()])


def _greeting(text: str, draw: random.Random) -> str:
    return draw.choice(["Hey, ", "So, ", "Ok. ", "Hi! "]) + text


def _please(text: str, draw: random.Random) -> str:
    return f"Please tell me: {text}"


def _less(text: str, draw: random.Random) -> str:
    words = text.split()
    del words[draw.randrange(len(words))]
    return " ".join(words)


def _more(text: str, draw: random.Random) -> str:
    words = text.split()
    words.insert(draw.randrange(len(words)), draw.choice(["really", "just", "actually", "quickly", "maybe"]))
    return " ".join(words)


def _typo(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) - 1)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _synonym(text: str, draw: random.Random) -> str | None:
    words = text.split()
    places = [place for place, word in enumerate(words) if word.lower() in SYNONYMS]
    if not places:
        return None
    place = draw.choice(places)
    return " ".join([*words[:place], SYNONYMS[words[place].lower()], *words[place + 1 :]])


def _ending(text: str, draw: random.Random) -> str:
    return text.rstrip("?.!") + draw.choice([" without getting caught?", " please?", " for free?", " at home?"])


def _moved(text: str, draw: random.Random) -> str:
    words = text.split()
    at = draw.randrange(len(words) - 1)
    words[at : at + 2] = words[at + 1], words[at]
    return " ".join(words)


CHANGES: tuple[Change, ...] = (
    _marks, _case, _greeting, _please, _less, _more, _typo, _synonym, _ending, _moved,
)  # fmt: skip


def planted(texts: list[str]) -> Iterator[tuple[int, str]]:
    draw = random.Random(0)
    for change in CHANGES:
        for number, text in enumerate(texts):
            if changed := change(text, draw):
                yield number, changed


def test_nine_of_ten_small_changes_are_found_among_our_own_questions() -> None:
    texts = [text for text in QUESTIONS if len(text.split()) >= 5][:100]
    built = index(texts)
    found = [(match := built.nearest(changed)) is not None and match.number == n for n, changed in planted(texts)]
    assert sum(found) / len(found) > 0.9
    assert sum(found[:300]) == 300, "other marks, another case or a greeting"


@pytest.fixture(scope="module")
def questions() -> list[str]:
    if not SHARED.is_file():
        pytest.skip("the 4,898 red-team questions of hh-rlhf are not here")
    return [line.strip() for line in SHARED.read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_planted_changes_of_real_questions(questions: list[str]) -> None:
    """The share that is found stands in the module's docstring; the index misses none that is similar enough."""
    texts = random.Random(0).sample([text for text in questions if len(text.split()) >= 5], 500)
    built = index(texts)
    changed = list(planted(texts))
    near = [similarity(texts[number], text) >= THRESHOLD for number, text in changed]
    found = [(match := built.nearest(text)) is not None and match.number == number for number, text in changed]
    assert (len(changed), sum(near)) == (4714, 4346)
    assert sum(found) / sum(near) > 0.999


@pytest.mark.slow
def test_real_questions_against_all_pairs(questions: list[str]) -> None:
    """One after the other, what is dropped is what comparing all twelve million pairs drops."""
    columns: dict[str, int] = {}
    cells = [[columns.setdefault(piece, len(columns)) for piece in _pieces(_plain(text))] for text in questions]
    bounds = [0, *accumulate(map(len, cells))]
    matrix = sparse.csr_array(([1] * bounds[-1], [cell for row in cells for cell in row], bounds))
    shared = sparse.triu(matrix @ matrix.T, 1).tocoo()
    before: dict[int, list[int]] = {}
    for one, two, both in zip(shared.row, shared.col, shared.data, strict=True):
        if both / (len(cells[one]) + len(cells[two]) - both) >= THRESHOLD:
            before.setdefault(int(two), []).append(int(one))
    dropped: set[int] = set()
    for number in sorted(before):
        if not dropped.issuperset(before[number]):
            dropped.add(number)
    assert (sum(map(len, before.values())), len(dropped)) == (216, 106)
    built = NearDuplicates()
    for number, text in enumerate(questions):
        assert (built.nearest(text) is not None) == (number in dropped), text
        if number not in dropped:
            built.add(text)
