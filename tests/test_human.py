"""Pairs that people judged: the forms they come in, and what is left out and counted."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from cai.errors import InputError
from cai.human import load_pairs

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "hh-rlhf"

GOOD = "\n\nHuman: How are you?\n\nAssistant: Well: thank you."
BAD = "\n\nHuman: How are you?\n\nAssistant: Go away."


def pairs(tmp_path: Path, *rows: Any) -> Any:
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
    with pytest.raises(InputError, match="holds no pairs to learn from"):
        pairs(tmp_path, {"chosen": GOOD, "rejected": GOOD})


@pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not here")
@pytest.mark.parametrize("name", ["harmless-base", "helpful-base"])
def test_hh_rlhf_is_read_whole(name: str) -> None:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as file:
        rows = sum(1 for _ in file)
    found = load_pairs(str(DATA / f"{name}.jsonl.gz"), "harmful")
    assert len(found.pairs) + sum(found.left_out.values()) == rows
    assert len(found.pairs) > 0.98 * rows
    assert all(pair.chosen != pair.rejected and pair.prompt.messages[-1].role == "user" for pair in found.pairs)
