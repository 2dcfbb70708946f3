"""Rows that share a sequence don't see each other: their loss is what it is for each alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from sft_data import Log, rows, uneven
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from cai.errors import InputError
from cai.train_config import SftConfig
from cai.trainers.packed import PackedCollator, check_separate, packed
from cai.trainers.sft import learned, train_sft
from cai.weights import resolve


def labelled(lengths: list[int]) -> list[dict[str, list[int]]]:
    """Rows whose ids tell them apart, the first token of each without loss."""
    return [
        {
            "input_ids": [3 + (7 * row + i) % 50 for i in range(n)],
            "labels": [-100, *range(1000 * row + 1, 1000 * row + n)],
        }
        for row, n in enumerate(lengths)
    ]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_every_row_is_whole_in_one_sequence(lengths: list[int]) -> None:
    made: list[Any] = list(packed(Dataset.from_list(labelled(lengths)), 20))
    found = []
    for sequence in made:
        assert sum(sequence["seq_lengths"]) == len(sequence["input_ids"]) == len(sequence["labels"]) <= 20
        start = 0
        for count in sequence["seq_lengths"]:
            found.append({key: sequence[key][start : start + count] for key in ("input_ids", "labels")})
            start += count
    order = lambda row: (row["labels"], row["input_ids"])  # noqa: E731
    assert sorted(found, key=order) == sorted(labelled(lengths), key=order)


def test_positions_begin_anew_with_each_row_and_padding_is_not_counted() -> None:
    a = {"input_ids": [5, 6, 7, 8, 9], "labels": [-100, 6, 7, -100, 9], "seq_lengths": [3, 2]}
    b = {"input_ids": [5, 6], "labels": [-100, 6], "seq_lengths": [2]}
    batch = PackedCollator(pad_token_id=0)([a, b])
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9], [5, 6, 0, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9], [-100, 6, -100, -100, -100]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 0, 0]]
    assert batch["tokens"].tolist() == [5, 2]


def model(attention: str) -> Any:
    start = resolve("tiny-random")
    return AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation=attention).eval()


@torch.no_grad()
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_packed_row_reads_as_it_does_alone_and_not_as_one_text(attention: str) -> None:
    reads = model(attention)
    made: list[Any] = list(packed(Dataset.from_list(labelled([20, 17, 9, 5, 4, 3])), 32))
    assert any(len(sequence["seq_lengths"]) > 1 for sequence in made)
    batch = PackedCollator(pad_token_id=0)(made)
    logits = reads(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    as_one = reads(input_ids=batch["input_ids"]).logits
    apart = 0.0
    for index, sequence in enumerate(made):
        start = 0
        for count in sequence["seq_lengths"]:
            ids = batch["input_ids"][index : index + 1, start : start + count]
            alone = reads(input_ids=ids).logits[0]
            assert torch.allclose(logits[index, start : start + count], alone, atol=1e-5)
            apart = max(apart, (as_one[index, start : start + count] - alone).abs().max().item())
            start += count
    assert apart > 1e-3


@pytest.mark.parametrize("micro_batch", [1, 2, 4])
def test_the_loss_of_packed_rows_is_the_mean_over_all_their_tokens(tmp_path: Path, micro_batch: int) -> None:
    log = Log()
    config = SftConfig(batch_size=4, micro_batch=micro_batch, packing=True, max_length=256)
    summary = train_sft(uneven(), "tiny-random", tmp_path, config, 0, log)
    assert summary["steps"] == 1 and summary["rows"] == 6 and 1 < summary["packed_rows"] <= 4
    tokenizer: Any = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    losses, tokens, reads = [], 0, model("sdpa")
    for row in uneven():
        ids, mask = learned(tokenizer, row, "answer")
        tokens += len(ids)
        with torch.no_grad():
            logp = reads(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-logp[i - 1, ids[i]].item() for i in range(len(ids)) if mask[i]]
    assert summary["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    assert summary["loss_tokens"] == len(losses)
    assert summary["tokens"] == log.rows[1]["num_tokens"] == tokens


def test_packing_takes_fewer_steps(tmp_path: Path) -> None:
    steps = {}
    for packing in (False, True):
        config = SftConfig(batch_size=2, micro_batch=2, max_length=128, packing=packing)
        steps[packing] = train_sft(rows(), "tiny-random", tmp_path / str(packing), config, 0, Log())["steps"]
    assert steps == {False: 6, True: 2}


SIZES: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def convolution() -> Any:
    layers = ["conv", "full_attention"]
    return Lfm2ForCausalLM(
        Lfm2Config(
            **SIZES,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            num_hidden_layers=2,
            layer_types=layers,
        )
    )


LEAKING = {
    "convolution": convolution,
    "ALiBi": lambda: BloomForCausalLM(BloomConfig(**SIZES, n_layer=2, n_head=4)),
    "state space": lambda: MambaForCausalLM(MambaConfig(**SIZES, num_hidden_layers=2)),
}


@pytest.mark.parametrize("kind", LEAKING)
def test_models_whose_rows_would_see_each_other_are_refused(kind: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match=r"packing: rows that share a sequence see each other .*packing: false"):
        check_separate(LEAKING[kind]())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_models_that_keep_rows_apart_are_not(attention: str) -> None:
    reads = model(attention).train()
    check_separate(reads)
    assert reads.training
