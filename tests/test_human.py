"""Pairs that people judged: the forms they come in, and what is left out and counted."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cai.errors import InputError
from cai.human import RATINGS, Pairs, load_pairs

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"

GOOD = "\n\nHuman: How are you?\n\nAssistant: Well: thank you."
BAD = "\n\nHuman: How are you?\n\nAssistant: Go away."


def pairs(tmp_path: Path, *rows: Any) -> Pairs:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_pairs(str(file), "harmful")


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": GOOD, "rejected": BAD},
        {"prompt": "How are you?", "chosen": "Well: thank you.", "rejected": "Go away."},
        {"prompt": "\n\nHuman: How are you?\n\nAssistant:", "chosen": " Well: thank you.", "rejected": " Go away."},
        {
            "prompt": [{"role": "user", "content": "How are you?"}],
            "chosen": [{"role": "assistant", "content": "Well: thank you."}],
            "rejected": [{"role": "assistant", "content": "Go away."}],
        },
        {
            "prompt": None,
            "chosen": [
                {"role": "user", "content": "How are you?"},
                {"role": "assistant", "content": "Well: thank you."},
            ],
            "rejected": [{"role": "user", "content": "How are you?"}, {"role": "assistant", "content": "Go away."}],
        },
    ],
)
def test_every_form_gives_the_same_pair(tmp_path: Path, row: Any) -> None:
    (pair,) = pairs(tmp_path, row).pairs
    assert [message.content for message in pair.prompt.messages] == ["How are you?"]
    assert (pair.chosen, pair.rejected) == ("Well: thank you.", "Go away.")


def test_what_is_no_use_is_left_out_and_counted(tmp_path: Path) -> None:
    other = BAD.replace("How", "Who")
    found = pairs(
        tmp_path,
        {"chosen": GOOD, "rejected": BAD},
        {"chosen": GOOD, "rejected": GOOD},
        {"chosen": GOOD, "rejected": other},
        {"chosen": GOOD, "rejected": "\n\nHuman: How are you?"},
    )
    assert len(found.pairs) == 1
    assert found.left_out == {"identical": 1, "different prompts": 1, "no answer": 1}


@pytest.mark.parametrize(
    "row", [{"chosen": GOOD}, {"chosen": 3, "rejected": BAD}, {"text": "x"}, {"chosen": "plain", "rejected": "plain"}]
)
def test_a_row_that_is_no_pair_is_named_with_its_line(tmp_path: Path, row: Any) -> None:
    with pytest.raises(InputError, match=r"pairs\.jsonl:2: (chosen|rejected): expected 'chosen' and 'rejected'"):
        pairs(tmp_path, {"chosen": GOOD, "rejected": BAD}, row)


def test_a_file_without_a_usable_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of its rows is a pair that tells answers apart"):
        pairs(tmp_path, {"chosen": GOOD, "rejected": GOOD})


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"prompt": "Q?", "chosen": 3, "rejected": "No."}, "found '3' in 'chosen', which is no text and no list"),
        ({"prompt": {"a": 1}, "chosen": "Yes.", "rejected": "No."}, "in 'prompt', which is no text"),
        ({"question": "Q?", "chosen": "Yes.", "rejected": "No."}, "found the columns 'question', 'chosen', 'rejected'"),
    ],
)
def test_it_is_said_what_is_wrong_with_a_row(tmp_path: Path, row: Any, found: str) -> None:
    with pytest.raises(InputError) as caught:
        pairs(tmp_path, row)
    assert found in str(caught.value)


def test_an_empty_file_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"none\.jsonl: is empty; expected 'chosen' and 'rejected'"):
        load_pairs(str(tmp_path / "none.jsonl"), "harmful")


ROW = {"prompt": "How are you?", "chosen": "Well.", "rejected": "Go away."}


def complaint(tmp_path: Path, row: Any) -> str:
    with pytest.raises(InputError) as caught:
        pairs(tmp_path, ROW, row)
    return str(caught.value)


def test_the_conversation_of_an_hhh_row_is_read_turn_by_turn(tmp_path: Path) -> None:
    """Its first turn has no `Human:`, as in BIG-bench's HHH files."""
    prompt = "Why glass?\n\nAssistant:  Structurally?\n\nHuman:  Yeah, why?"
    row = {"id": 7, "category": "honest", "prompt": prompt, "chosen": "Steel frames.", "rejected": "Plastic."}
    (pair,) = pairs(tmp_path, row).pairs
    assert [(message.role, message.content) for message in pair.prompt.messages] == [
        ("user", "Why glass?"),
        ("assistant", "Structurally?"),
        ("user", "Yeah, why?"),
    ]
    assert (pair.category, pair.source, pair.prompt.source) == ("honest", "pairs.jsonl", f"{tmp_path}/pairs.jsonl:1")


def test_a_prompt_of_very_many_answers_and_no_further_question_is_one_text(tmp_path: Path) -> None:
    """Read once, and not once for each of the 150,000 places at which a turn could begin."""
    prompt = "Go on." + "\n\nAssistant: x" * 150_000
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": prompt, "chosen": "one", "rejected": "two"}))
    (pair,) = load_pairs(str(path), "harmful").pairs
    assert [message.content for message in pair.prompt.messages] == [prompt]


@pytest.mark.parametrize("prompt", ["Who said 'Human:'?", "Write:\n\nHuman: hello", "Mend this.\n\nAssistant: hm"])
def test_a_question_that_speaks_of_turns_is_one_turn(tmp_path: Path, prompt: str) -> None:
    (pair,) = pairs(tmp_path, {**ROW, "prompt": prompt}).pairs
    assert [message.content for message in pair.prompt.messages] == [prompt]


def test_texts_without_a_prompt_share_the_words_that_they_begin_with(tmp_path: Path) -> None:
    found = pairs(
        tmp_path,
        {"chosen": "The sky is blue.", "rejected": "The sky is black."},
        {"chosen": "The sky is blue.", "rejected": "The sky is blue."},
    )
    (pair,) = found.pairs
    assert [message.content for message in pair.prompt.messages] == ["The sky is"]
    assert (pair.chosen, pair.rejected, found.left_out) == ("blue.", "black.", {"identical": 1})


@pytest.mark.parametrize("column", ["question", "instruction", "messages"])
def test_a_prompt_under_another_name_is_not_guessed_from_the_answers(tmp_path: Path, column: str) -> None:
    row = {column: "How are you?", "chosen": "I am well.", "rejected": "I am cross."}
    assert complaint(tmp_path, row).startswith(f"{tmp_path}/pairs.jsonl:2: chosen: expected 'chosen' and 'rejected'")


def test_csv_has_cells_of_many_lines(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "prompt,chosen,rejected,category,rating\n"
        '"How are\nyou, ""friend""?","Well:\n\nthank you, all.",Go away.,polite,slightly\n'
        '"\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant:", Bye.,No.,,\n'
    )
    first, second = load_pairs(str(file), "helpful").pairs
    assert [message.content for message in first.prompt.messages] == ['How are\nyou, "friend"?']
    assert (first.chosen, first.rejected) == ("Well:\n\nthank you, all.", "Go away.")
    assert (first.category, first.rating, first.source, first.p) == ("polite", "slightly", "mine.csv", 1.0)
    assert [message.content for message in second.prompt.messages] == ["Hi", "Hello", "Bye"]
    assert (second.chosen, second.category, second.rating) == ("Bye.", "", "")
    assert second.prompt.source == f"{file}:6"


def test_csv_without_a_prompt_holds_transcripts(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f'chosen,rejected\n"{GOOD}","{BAD}"\n')
    (pair,) = load_pairs(str(file), "helpful").pairs
    assert (pair.prompt.messages[0].content, pair.chosen) == ("How are you?", "Well: thank you.")


def test_a_cell_may_hold_a_long_conversation(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"prompt,chosen,rejected\nq,{'long ' * 40_000},short\n")
    assert len(load_pairs(str(file), "helpful").pairs[0].chosen) == 199_999


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ('a,"b\nc",d,better\nq,x,y,great\n', ":4: rating: expected one of significantly, better, slightly, negligibly"),
        ('a,"b\nc",d,better\nq,x,y\n', ":4: found 3 fields, the header names 4"),
        ("a,b,c,\n,x,y,\n", ":3: the prompt is empty"),
    ],
)
def test_a_bad_row_of_csv_is_named_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"prompt,chosen,rejected,rating\n{rows}")
    with pytest.raises(InputError) as caught:
        load_pairs(str(file), "helpful")
    assert str(caught.value).startswith(f"{file}{message}")


@pytest.mark.parametrize("column", ["rating", "margin"])
def test_ratings_are_llama_2s_words(tmp_path: Path, column: str) -> None:
    words = [*RATINGS, "Significantly better", " slightly better ", "", None]
    found = pairs(tmp_path, *({**ROW, column: word} for word in words)).pairs
    assert [pair.rating for pair in found] == [*RATINGS, "significantly", "slightly", "", ""]


@pytest.mark.parametrize("value", ["very", "slightly worse", 0.5, 3, ["better"]])
def test_another_rating_is_an_error(tmp_path: Path, value: Any) -> None:
    said = complaint(tmp_path, {**ROW, "margin": value})
    assert said.startswith(f"{tmp_path}/pairs.jsonl:2: margin: expected one of significantly, better")
    assert f"found {value!r}" in said


def test_soft_labels_are_kept_and_the_better_answer_comes_first(tmp_path: Path) -> None:
    rows = [
        {**ROW, "p": 0.75},
        {**ROW, "label": 0.6},
        {**ROW, "label": 0.25},
        {**ROW, "p": "0.5"},
        {**ROW, "p": 1},
        ROW,
    ]
    found = pairs(tmp_path, *rows)
    assert [(pair.p, pair.chosen) for pair in found.pairs] == [
        (0.75, "Well."),
        (0.6, "Well."),
        (0.75, "Go away."),
        (0.5, "Well."),
        (1.0, "Well."),
        (1.0, "Well."),
    ]
    assert found.turned == 1


@pytest.mark.parametrize("value", [1.5, -0.1, True, "high", float("nan"), [1]])
def test_a_label_that_is_no_probability_is_an_error(tmp_path: Path, value: Any) -> None:
    said = complaint(tmp_path, {**ROW, "label": value})
    assert said.startswith(
        f"{tmp_path}/pairs.jsonl:2: label: expected P(chosen is better), a number from 0 to 1, found "
    )


def test_a_category_is_a_word(tmp_path: Path) -> None:
    assert [one.category for one in pairs(tmp_path, {**ROW, "category": " x "}, {**ROW, "category": 3}).pairs] == [
        "x",
        "3",
    ]
    assert "category: expected a word, found ['x']" in complaint(tmp_path, {**ROW, "category": ["x"]})


def test_our_own_export_comes_back_with_its_labels(tmp_path: Path) -> None:
    """The columns that cai/export/rows.py writes of a comparison; one that was not read has no preference."""
    messages = {name: [{"role": "assistant", "content": text}] for name, text in [("chosen", "b"), ("rejected", "a")]}
    prompt = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    rest = {"prompt": prompt, "principle": "kind", "a": "a", "b": "b", "kind": "helpful", "source": "x.txt:1"}
    unread = {"chosen": None, "rejected": None, "label": None, "p_a": None, "state": "unparsed"}
    found = pairs(tmp_path, {**messages, "label": 0.8, "p_a": 0.2, "state": "parsed", **rest}, {**unread, **rest})
    (pair,) = found.pairs
    assert [message.role for message in pair.prompt.messages] == ["system", "user"]
    assert (pair.chosen, pair.rejected, pair.p, found.left_out) == ("b", "a", 0.8, {"no verdict": 1})


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are absent")
@pytest.mark.parametrize(
    ("name", "pairs", "left_out"),
    [("harmless-base", 1550, {"no answer": 3}), ("helpful-base", 1551, {"no answer": 2, "identical": 2})],
)
def test_hh_rlhf_is_read_whole(name: str, pairs: int, left_out: dict[str, int]) -> None:
    file = DATA / "hh-rlhf" / f"{name}.jsonl.gz"
    with gzip.open(file, "rt") as lines:
        rows = sum(1 for _ in lines)
    found = load_pairs(str(file), "harmful")
    assert (len(found.pairs), found.left_out) == (pairs, left_out)
    assert len(found.pairs) + sum(found.left_out.values()) == rows
    assert all(pair.chosen != pair.rejected and pair.prompt.messages[-1].role == "user" for pair in found.pairs)
    assert {(pair.source, pair.p, pair.rating, pair.category) for pair in found.pairs} == {(file.name, 1.0, "", "")}


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data sets are absent")
def test_hhh_is_read_whole() -> None:
    """As many turns as the paper's own file of the same rows has: 180 of one turn, 40 of two, one of three."""
    found = load_pairs(str(DATA / "hhh" / "hhh_alignment_221.jsonl"), "harmful")
    assert Counter(pair.category for pair in found.pairs) == {"helpful": 59, "honest": 61, "harmless": 58, "other": 43}
    turns = Counter(sum(message.role == "user" for message in pair.prompt.messages) for pair in found.pairs)
    assert turns == {1: 180, 2: 40, 3: 1}
    assert found.left_out == {}
