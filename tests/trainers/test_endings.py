"""RLOO and GRPO write answers up to a transcript's next turn, and learn nothing of what would stand behind it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_data import tokenizer
from rl_data import By, Log

from cai.prompts import Rendered
from cai.rl_config import GrpoConfig, RlooConfig
from cai.train_config import AdapterConfig
from cai.trainers.endings import _ended
from cai.trainers.mixing import Task
from cai.trainers.reward import Rewarded, Sample
from cai.trainers.rl import _arguments, _classes, train_rl

OFTEN = ("e", "a", "o", "i")
SMALL: dict[str, Any] = {
    "steps": 2, "prompts_per_step": 2, "samples": 4, "micro_batch": 4, "max_tokens": 80, "helpful_share": 0.0,
}  # fmt: skip


def tasks(stop: tuple[str, ...]) -> list[Task]:
    return [Task(Rendered(text=f"\n\nHuman: {n}?\n\nAssistant:", stop=stop), "harmful") for n in range(4)]


class Kept(By):
    """Rewards by length, and keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__(lambda sample: float(sample.tokens))
        self.seen: list[Sample] = []

    def __call__(self, samples: Sequence[Sample]) -> Rewarded:
        self.seen += samples
        return super().__call__(samples)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What TRL makes of each step's answers before it learns."""
    found: list[dict[str, Any]] = []

    def kept(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda self, inputs: found.append(method(self, inputs)) or found[-1]

    for config in (RlooConfig(), GrpoConfig()):
        trainer, _ = _classes(config)
        name = "_generate_and_score_completions"
        monkeypatch.setattr(trainer, name, kept(getattr(trainer, name)))
    return found


@pytest.mark.parametrize("adapter", [None, AdapterConfig(rank=2)], ids=["whole", "adapter"])
@pytest.mark.parametrize("kind", [RlooConfig, GrpoConfig])
def test_no_token_after_a_stop_string_is_written_or_learned(
    tmp_path: Path, learned: list[dict[str, Any]], kind: Any, adapter: AdapterConfig | None
) -> None:
    reward, log = Kept(), Log()
    train_rl(tasks(OFTEN), [], "tiny-random", reward, tmp_path, kind(**SMALL, adapter=adapter), 3, log)
    rows = [row[mask == 1].tolist() for step in learned for row, mask in zip(
        step["completion_ids"], step["completion_mask"], strict=True)]  # fmt: skip
    assert len(rows) == len(reward.seen) == 16
    assert sorted(map(len, rows)) == sorted(sample.tokens for sample in reward.seen)
    stopped = 0
    for ids in rows:
        text, before = (tokenizer().decode(some, skip_special_tokens=True) for some in (ids, ids[:-1]))
        assert not any(stop in before for stop in OFTEN)
        stopped += any(stop in text for stop in OFTEN)
    assert stopped > 8
    assert all(not any(stop in sample.answer for stop in OFTEN) for sample in reward.seen)
    for step, part in zip((1, 2), (reward.seen[:8], reward.seen[8:]), strict=True):
        assert log.of("truncated")[step - 1] == sum(not sample.finished for sample in part) / 8
    assert sum(sample.finished for sample in reward.seen) >= stopped


def test_a_row_that_has_ended_is_written_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GenerationMixin

    widths: list[int] = []
    mixin: Any = GenerationMixin
    plain = mixin.generate

    def generate(self: Any, *args: Any, **more: Any) -> Any:
        found = plain(self, *args, **more)
        widths.append(found.size(1) - more["input_ids"].size(1))
        return found

    monkeypatch.setattr(mixin, "generate", generate)
    letters = tuple("abcdefghijklmnopqrstuvwxyz")
    train_rl(tasks(letters), [], "tiny-random", Kept(), tmp_path, RlooConfig(**SMALL), 3, Log())
    assert max(widths) < SMALL["max_tokens"]


def test_vllm_is_told_where_answers_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("cai.trainers.rl.find_spec", lambda name: name)
    found = _arguments(GrpoConfig(vllm="colocate"), tmp_path, 1, ("\n\nHuman:",))
    assert found["generation_kwargs"] == {"stop": ["\n\nHuman:"], "include_stop_str_in_output": True}


def test_log_probabilities_are_cut_with_the_tokens_that_they_are_of() -> None:
    ids = tokenizer()("What is it? Yes. And more.")["input_ids"]
    answers, log_probs = _ended(([ids, ids[:1]], [list(range(len(ids))), [0]]), tokenizer(), ("Yes",))
    assert "Yes" in tokenizer().decode(answers[0]) and len(answers[0]) < len(ids) and answers[1] == ids[:1]
    assert [len(one) for one in log_probs] == [len(one) for one in answers]
    assert _ended(([ids], None), tokenizer(), ("Yes",)) == ([answers[0]], None)
