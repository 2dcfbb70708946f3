"""The flags of whole replies: what fires, what does not, what fires together, and in which order."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

import pytest
import slow_hygiene
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.few_shot import revision_examples
from cai.hygiene import FLAGS, Flag, answer_flags, critique_flags, expected_language, revision_flags
from cai.records import Completion

Finish = Literal["stop", "length"]

ASKED = "Give me a joke about a girl in my class who always wears the same coat."
BEFORE = "Sure! Ask her whether the coat is glued on, or whether her family can only afford the one."
CRITIQUE = "The joke shames a girl in public for something that she may be unable to change, and mocks her family."
REVISION = "I'd rather not write that one, since it would hurt her. Tell a story against yourself instead."
GERMAN = "Das schreibe ich lieber nicht, denn es würde sie verletzen. Erzähl doch etwas über dich selbst."
LOOP = "She would be hurt. " * 6
HH = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh-rlhf"


def said(text: str, finish: Finish = "stop") -> Completion:
    return Completion(text=text, raw=text, finish=finish, prompt_tokens=1, tokens=1, seed=0)


ANSWERS: list[tuple[str, Finish, tuple[Flag, ...]]] = [
    (BEFORE, "stop", ()),
    (REVISION, "stop", ()),
    ("42", "stop", ()),
    ("\U0001f44d", "stop", ()),
    ("", "stop", ("empty",)),
    (" \n\u200b\ufeff", "stop", ("empty",)),
    ("", "length", ("empty", "truncated")),
    (REVISION[:40], "length", ("truncated",)),
    (f"{REVISION}\n\nHuman: thanks", "stop", ("turn-marker",)),
    (f"Here is the revised answer: {REVISION}", "stop", ("meta-talk",)),
    (f"Here's a kinder version: {REVISION}", "stop", ()),
    ("The assistant's last answer is cruel.", "stop", ()),
    (GERMAN, "stop", ("wrong-language",)),
    (LOOP, "length", ("truncated", "repetition")),
    (f"Revised response:\nHuman: {LOOP}", "length", ("truncated", "meta-talk", "turn-marker", "repetition")),
]
CRITIQUES: list[tuple[str, tuple[Flag, ...]]] = [
    (CRITIQUE, ()),
    ("There is nothing to correct.", ()),
    (f'"{BEFORE}" is cruel.', ()),
    (f"> {BEFORE}\n\nThat is cruel to her.", ()),
    (f"The assistant said: {BEFORE} This is cruel, for it mocks a child and a family who did nothing wrong.", ()),
    (BEFORE, ("revision-not-critique",)),
    (f"Okay. {BEFORE}", ("revision-not-critique",)),
    (REVISION, ("revision-not-critique",)),
    (f"{CRITIQUE}\n\nRevised response: {REVISION}", ("revision-not-critique",)),
    (f"{CRITIQUE}\n\nRevision: {REVISION}", ("turn-marker",)),
    ("", ("empty",)),
    (GERMAN, ("wrong-language",)),
]
REVISIONS: list[tuple[str, str | None, tuple[Flag, ...]]] = [
    (REVISION, CRITIQUE, ()),
    (REVISION, None, ()),
    (BEFORE, CRITIQUE, ("unchanged",)),
    (f"\n {BEFORE.replace(' ', '  ')}\n", CRITIQUE, ("unchanged",)),
    (f"{BEFORE} Or not.", CRITIQUE, ()),
    (CRITIQUE, CRITIQUE, ("critique-not-revision",)),
    (CRITIQUE, None, ()),
    (f"Well. {CRITIQUE}", CRITIQUE, ("critique-not-revision",)),
    ("The assistant's last answer is cruel to a child.", CRITIQUE, ("critique-not-revision",)),
    ("The response fails to consider her feelings.", CRITIQUE, ("critique-not-revision",)),
    (f"I removed the joke. {REVISION}", CRITIQUE, ("meta-talk",)),
    (f"The answer is cruel.\n\nRevised response: {REVISION}", CRITIQUE, ("meta-talk", "critique-not-revision")),
    (f"Here's a revised version of the assistant's answer:\n\n{REVISION}", CRITIQUE, ("meta-talk",)),
    ("", CRITIQUE, ("empty",)),
    (GERMAN, CRITIQUE, ("wrong-language",)),
    (LOOP, CRITIQUE, ("repetition",)),
    (f"{REVISION}<|im_end|>", CRITIQUE, ("turn-marker",)),
]


@pytest.mark.parametrize(("text", "finish", "flags"), ANSWERS)
def test_answers(text: str, finish: Finish, flags: tuple[Flag, ...]) -> None:
    assert answer_flags(said(text, finish), "en") == flags


@pytest.mark.parametrize(("text", "flags"), CRITIQUES)
def test_critiques(text: str, flags: tuple[Flag, ...]) -> None:
    assert critique_flags(said(text), BEFORE, "en") == flags


@pytest.mark.parametrize(("text", "critique", "flags"), REVISIONS)
def test_revisions(text: str, critique: str | None, flags: tuple[Flag, ...]) -> None:
    assert revision_flags(said(text), BEFORE, critique, "en") == flags


def test_the_language_is_the_question_s() -> None:
    assert answer_flags(said(REVISION), expected_language(ASKED, "de")) == ()
    assert answer_flags(said(GERMAN), expected_language(ASKED, "de")) == ("wrong-language",)
    assert answer_flags(said(GERMAN), None) == ()


def test_what_the_answer_had_is_not_copied_from_a_critique_that_quotes_it() -> None:
    quoting = f"The assistant says: {BEFORE} That is cruel."
    assert revision_flags(said(f"{BEFORE} Or not."), BEFORE, quoting) == ()
    assert revision_flags(said(f"{BEFORE} Or not."), REVISION, quoting) == ("critique-not-revision",)


def test_an_empty_revision_of_an_empty_answer_is_empty_alone() -> None:
    assert revision_flags(said(""), "", "") == ("empty",)


def test_every_flag_has_a_meaning_and_only_the_stage_says_stopped() -> None:
    assert tuple(FLAGS) == get_args(Flag)
    assert all("\n" not in meaning and meaning for meaning in FLAGS.values())
    fired = {flag for *_, flags in (*ANSWERS, *CRITIQUES, *REVISIONS) for flag in flags}
    assert fired == FLAGS.keys() - {"stopped"}


def test_the_shipped_examples_are_clean() -> None:
    for example in revision_examples("few_shot/critique_revision", 5):
        before = example.messages[-1].content
        assert answer_flags(said(before), "en") == ()
        assert critique_flags(said(example.critique), before, "en") == ()
        kept = ("unchanged",) if "no-change" in example.tags else ()
        assert revision_flags(said(example.revision), before, example.critique, "en") == kept


TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from([ASKED, BEFORE, CRITIQUE, REVISION, GERMAN, "\n\nHuman:", "[[[", "\n"]), max_size=4).map(
        " ".join
    ),
)


PIECES = [
    *(
        ASKED,
        BEFORE,
        CRITIQUE,
        REVISION,
        GERMAN,
        LOOP,
        "\n",
        "\n\n",
        '"',
        "\u201c",
        "\u2019s",
        ".",
        "! ",
        "? ",
        ": ",
        "**",
        ">",
    ),
    *("Human:", "### Response:", "<|im_end|>", "[[[", "]]]", "</think>", "Critique:", "`", "https://example.org/a"),
    *("here is a", "Here's the", "I've", "i will", "let me", "this", "the", "my", "your", "it", "there is", "no", "in"),
    *("revised", "re-written", "better", "more", "and less", "previous", "answer", "response", "reply", "version of"),
    *("text", "textbook", "answered", "rewrite", "removed", "the joke", "changes", "changes made", "toned down", "is"),
    *("assistant", "assistant's", "AI", "nothing", "to change", "are needed", "fails", "helpful", "you", "cannot", "I"),
    *("sorry for", "thank you for", "feedback", "should have", "tells", "found any", "request", "again", "statement"),
    *(
        "aha" * 14,
        "na " * 9,
        "\u6211\u4e0d\u77e5\u9053",
        "\u043d\u0435 \u0437\u043d\u0430\u044e",
        "\U0001f44f",
        "caf\u00e9",
        "word " * 30,
    ),
]
MIXED = st.lists(st.sampled_from(PIECES), max_size=40).flatmap(
    lambda pieces: st.sampled_from([" ", "", "\n"]).map(lambda between: between.join(pieces))
)


def compare(text: str, before: str, critique: str | None, language: str | None) -> tuple[Flag, ...]:
    """The flags of a reply as a revision, after a look whether the plain twin says the same of it in every role."""
    reply = said(text)
    slow = slow_hygiene
    assert answer_flags(reply, language) == slow.answer_flags(reply, language)
    assert critique_flags(reply, before, language) == slow.critique_flags(reply, before, language)
    assert expected_language(text, language) == slow.expected_language(text, language)
    found = revision_flags(reply, before, critique, language)
    assert found == slow.revision_flags(reply, before, critique, language)
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(MIXED, MIXED, MIXED, st.sampled_from(["en", "de", None]))
def test_any_reply_is_flagged_as_by_the_plain_twin(text: str, before: str, critique: str, language: str | None) -> None:
    compare(text, before, critique, language)
    compare(f"{text} {critique}", before, critique, language)


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "de", None])
def test_the_tables_are_flagged_as_by_the_plain_twin(language: str | None) -> None:
    for text in {text for text, *_ in (*ANSWERS, *CRITIQUES, *REVISIONS)}:
        for before in (BEFORE, text, f"{text} Or not."):
            compare(text, before, CRITIQUE, language)
            compare(f"{BEFORE} {text} {REVISION * 4} {text}", before, text, language)


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS, st.sampled_from(["stop", "length"]), st.sampled_from(["en", "zh", None]))
def test_any_reply_has_flags_in_order_and_the_same_ones_again(
    text: str, before: str, critique: str, finish: Finish, language: str | None
) -> None:
    def all_flags() -> list[tuple[Flag, ...]]:
        reply = said(text, finish)
        return [
            answer_flags(reply, language),
            critique_flags(reply, before, language),
            revision_flags(reply, before, critique, language),
        ]

    order = list(FLAGS)
    found = all_flags()
    for flags in found:
        assert list(flags) == sorted(set(flags), key=order.index)
        assert ("truncated" in flags) == (finish == "length")
        assert "empty" not in flags or set(flags) <= {"empty", "truncated"}
    assert found == all_flags()


@given(TEXTS)
def test_a_revision_of_itself_is_unchanged_or_empty(text: str) -> None:
    assert {"unchanged", "empty"} & set(revision_flags(said(text), text, None))


HOSTILE = ["a", "a b ", " \n", '"', "`", "*", "> ", "[", "<|", "!?\n", "here's a ", "i removed the ", "revised a b "]
HOSTILE += [
    "the answer is very ",
    "x" * 39 + "y",
    "\u4f60\u597d",
    "\U0001f44f\n",
    "\0",
    "a-'",
    "assistant's a b ",
    "Human",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_million_characters_take_moments(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    begun = time.perf_counter()
    answer_flags(said(text), "en")
    critique_flags(said(text), f"{text}x", "en")
    revision_flags(said(text), f"{text}x", text, "en")
    expected_language(text, "en")
    assert time.perf_counter() - begun < 5


def real_rows() -> list[dict[str, str]]:
    if not HH.is_dir():
        pytest.skip(f"needs the real data in {HH}")
    return [json.loads(line) for path in HH.glob("*.gz") for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.mark.slow
def test_real_answers_are_flagged_as_by_the_plain_twin() -> None:
    seen: Counter[Flag] = Counter()
    for row in real_rows()[::15]:
        chosen, rejected = (row[side].rsplit("\n\nAssistant:", 1)[1].strip() for side in ("chosen", "rejected"))
        asked = row["chosen"].split("\n\nAssistant:")[0].strip()
        seen.update(compare(chosen, rejected, f"The assistant's answer is unkind: {chosen[:80]}", "en"))
        seen.update(compare(f"The assistant should not say: {rejected}", rejected, None, None))
        seen.update(compare(f"{rejected} I removed the insult of my last answer.", rejected, chosen, "en"))
        compare(asked, chosen, asked, "en")
    assert {"meta-talk", "critique-not-revision", "turn-marker"} <= seen.keys()


@pytest.mark.slow
def test_real_answers_are_rarely_flagged() -> None:
    """People chose these; none is a revision. hh-rlhf itself has 17 that begin with a leaked "Human:"."""
    rows = real_rows()
    counts: Counter[Flag] = Counter()
    for row in rows:
        answer = said(row["chosen"].rsplit("\n\nAssistant:", 1)[1].strip())
        counts.update(revision_flags(answer, "something else", CRITIQUE, "en"))
    assert len(rows) > 3_000
    assert counts["turn-marker"] == 17
    assert counts["empty"] == 3
    assert counts["meta-talk"] + counts["critique-not-revision"] <= 5
    assert counts["repetition"] <= 3
    assert counts["wrong-language"] == 0
