"""Best-of-n: the best answers are learned, earlier rounds are kept, a round that is done is not done again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rl_data import Log, tasks

from cai.errors import InputError
from cai.rl_config import BestOfNConfig
from cai.store import StepFolder
from cai.trainers.best_of_n import Best, better, kl_bound, train_best_of_n
from cai.trainers.reward import Rewarded, Sample

CONFIG = BestOfNConfig(
    steps=2, prompts_per_step=3, samples=4, max_tokens=8, batch_size=4, micro_batch=4, learning_rate=3e-3, epochs=4
)


class Short:
    """Fewer characters are better."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Sample]] = []

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        self.asked.append(samples)
        found = tuple(-float(len(sample.answer)) for sample in samples)
        return Rewarded(found, {"short": found})

    def close(self) -> None: ...


def trained(folder: Path, reward: Any, config: BestOfNConfig = CONFIG) -> tuple[dict[str, Any], Log]:
    log = Log()
    return train_best_of_n(tasks("harmful", 3), "tiny-random", reward, folder, config, 0, log), log


def test_the_better_answer_stays_and_of_equal_ones_the_earlier() -> None:
    first = better({}, [Best("p", "a", 1.0, 1), Best("p", "b", 2.0, 1), Best("q", "c", 0.0, 1)])
    assert {key: one.answer for key, one in first.items()} == {"p": "b", "q": "c"}
    second = better(first, [Best("p", "d", 2.0, 2), Best("q", "e", 0.5, 2)])
    assert {key: one.answer for key, one in second.items()} == {"p": "b", "q": "e"}
    assert first["q"].answer == "c", "what was kept is not changed"


@pytest.mark.parametrize("samples", [2, 3, 8])
def test_the_bound_is_the_divergence_where_all_answers_differ_in_reward(samples: int) -> None:
    """With many equally likely answers, the best of n is the one at rank k with probability (k/m)^n - ((k-1)/m)^n."""
    many = 4000
    picked = [(k / many) ** samples - ((k - 1) / many) ** samples for k in range(1, many + 1)]
    divergence = math.fsum(p * math.log(p * many) for p in picked if p)
    assert kl_bound(samples) == pytest.approx(divergence, abs=2e-3)


def test_each_round_learns_the_best_of_its_answers_and_of_earlier_ones(tmp_path: Path) -> None:
    reward = Short()
    figures, log = trained(tmp_path, reward)
    assert [len(samples) for samples in reward.asked] == [12, 12]
    rounds = [json.loads((tmp_path / "rounds" / str(n) / "best.json").read_text()) for n in (1, 2)]
    for number, samples, kept in zip((1, 2), reward.asked, rounds, strict=True):
        answers = [sample.answer for sample in samples]
        by_prompt = [[a for a in answers[n : n + 4] if a] for n in (0, 4, 8)]
        assert sorted(one["answer"] for one in kept["best"]) == sorted(
            min(found, key=len) for found in by_prompt if found
        )
        assert log.rows[number - 1]["reward"] == pytest.approx(-sum(map(len, answers)) / 12)
    assert [row["step"] for row in log.rows] == [1, 2] and log.rows[1]["rows"] == 3
    assert log.rows[0]["reward/short"] == log.rows[0]["reward"] <= log.rows[0]["reward_best"]
    assert figures["tokens"] == log.rows[1]["num_tokens"] == sum(s.tokens for asked in reward.asked for s in asked)
    assert (tmp_path / "model" / "model.safetensors").is_file()
    StepFolder(tmp_path).finish({})
    assert not list((tmp_path / "rounds").glob("*/model")), "what was kept of a round is what it learned from"


def test_a_round_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole", Short())

    class Stopped(Short):
        def __call__(self, samples: Sequence[Sample]) -> Rewarded:
            raise KeyboardInterrupt

    parts = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        trained(parts, After(1, Stopped()))
    reward = Short()
    again, log = trained(parts, reward)
    assert len(reward.asked) == 1, "the first round's answers are there"
    assert again == whole and [row["step"] for row in log.rows] == [1, 2]
    models = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "again")]
    assert models[0] == models[1]


class After:
    """Rewards by length for so many rounds, and then as another one does."""

    def __init__(self, rounds: int, then: Any) -> None:
        self._left, self._first, self._then = rounds, Short(), then

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        self._left -= 1
        return (self._first if self._left >= 0 else self._then)(samples)

    def close(self) -> None: ...


def test_a_model_that_says_nothing_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tuple(Sample(task.prompt, "", task.kind, 1, True) for task in tasks("harmful", 3) for _ in range(4))

    class Nothing:
        samples = empty

    monkeypatch.setattr("cai.trainers.best_of_n.write", lambda *_: Nothing)
    with pytest.raises(InputError, match="every answer of the model is empty"):
        trained(tmp_path, Short())


def test_a_batch_that_its_parts_do_not_fill_is_refused() -> None:
    with pytest.raises(ValidationError, match="batch_size 5 is not a multiple of micro_batch 4"):
        BestOfNConfig(batch_size=5, micro_batch=4)
