"""What a step of PPO learns from: answers that the policy wrote, and what policy, reference and critic say of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from cai.encoding import encode, prompt_text
from cai.engines.sampling import invert
from cai.identity import seed_of
from cai.trainers.actor_critic import ActorCritic, Reference
from cai.trainers.endings import Stopped, up_to_stop
from cai.trainers.mixing import Task
from cai.trainers.reward import Sample


@dataclass(frozen=True)
class Written:
    """Prompts and the answers to them, as tokens; a row is one answer.

    `prompts` (rows, prompt) is padded on the left and `answers` (rows, answer) on the right; `given` and `mask`, of the
    same shapes, are 1 at their tokens. An answer ends with its end-of-text token or with the token that completes a
    stop string, unless it was cut at the limit. `samples` is what a reward sees of them.
    """

    prompts: Tensor
    given: Tensor
    answers: Tensor
    mask: Tensor
    samples: tuple[Sample, ...]

    def rows(self, rows: Tensor) -> tuple[Tensor, Tensor, int]:
        """Tokens of some rows, which of them are not padding, and how many columns are the answers'.

        Columns that are padding in all of these rows are left out.
        """
        given, mask = self.given[rows], self.mask[rows]
        start, width = given.size(1) - _longest(given), _longest(mask)
        tokens = torch.cat([self.prompts[rows, start:], self.answers[rows, :width]], 1)
        return tokens, torch.cat([given[:, start:], mask[:, :width]], 1).long(), width


@dataclass(frozen=True)
class Rollout:
    """Answers with what was said of each of their tokens when they were written, (rows, answer), 0 at padding.

    `log_probs` and `reference`: log-probabilities under the policy and the reference at the sampling temperature, nats.
    """

    written: Written
    log_probs: Tensor
    reference: Tensor
    values: Tensor


def seeds_of(count: int, *place: str | int) -> list[int]:
    """A seed for each of so many answers that are written at one place of a training."""
    return [seed_of(*place, number) for number in range(count)]


@torch.no_grad()
def write(
    policy: Any,
    tokenizer: Any,
    tasks: Sequence[Task],
    seeds: Sequence[int],
    max_tokens: int,
    temperature: float,
    batch: int,
) -> Written:
    """An answer of `policy` to each task, `batch` at a time.

    Each is drawn from its own seed, so that it does not depend on what is written beside it, or in which process, but
    for rounding.
    """
    device = policy.device
    starts = [encode(tokenizer, prompt_text(tokenizer, task.prompt), task.prompt) for task in tasks]
    prompts = _padded(starts, _padding(tokenizer), "left").to(device)
    given = _padded([[1] * len(start) for start in starts], 0, "left").to(device)
    answers, samples = [], []
    for rows in torch.arange(len(tasks)).split(batch):
        these = [tasks[row] for row in rows.tolist()]
        drawn = _Drawn([seeds[row] for row in rows.tolist()], temperature)
        found = _generate(policy, tokenizer, these, prompts[rows], given[rows], max_tokens, drawn)
        for task, ids in zip(these, found.tolist(), strict=True):
            answer, sample = _ended(tokenizer, task, ids)
            answers.append(answer)
            samples.append(sample)
    mask = _padded([[1.0] * len(answer) for answer in answers], 0.0, "right").to(device)
    return Written(prompts, given, _padded(answers, _padding(tokenizer), "right").to(device), mask, tuple(samples))


@torch.no_grad()
def read(model: ActorCritic, reference: Reference, written: Written, temperature: float, batch: int) -> Rollout:
    """What policy, reference and critic say of the answers, `batch` at a time."""
    found: tuple[Tensor, ...] = tuple(torch.zeros_like(written.mask) for _ in range(3))
    for rows in torch.arange(len(written.samples)).split(batch):
        tokens, seen, width = written.rows(rows)
        said = model(tokens, seen, width, temperature)
        told = said.log_probs, reference.log_probs(tokens, seen, width, temperature), said.values
        for whole, part in zip(found, told, strict=True):
            whole[rows, :width] = part * written.mask[rows, :width]
    return Rollout(written, *found)


def _generate(
    policy: Any, tokenizer: Any, tasks: Sequence[Task], prompts: Tensor, given: Tensor, most: int, drawn: _Drawn
) -> Tensor:
    """Tokens after the prompts (rows, up to `most`), drawn from the whole distribution: nothing but temperature."""
    plain = GenerationConfig(
        do_sample=False,  # of what `drawn` leaves there is one
        num_beams=1,
        repetition_penalty=1.0,  # what the model's own settings say else would be filled in
        no_repeat_ngram_size=0,
        max_new_tokens=most,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=_padding(tokenizer),
        use_cache=True,
    )
    stops = [task.prompt.stop for task in tasks]
    criteria = StoppingCriteriaList([Stopped(tokenizer, stops, prompts.size(1))] if any(stops) else [])
    whole = policy.generate(
        input_ids=prompts,
        attention_mask=given,
        generation_config=plain,
        logits_processor=LogitsProcessorList([drawn]),
        stopping_criteria=criteria,
    )
    return whole[:, prompts.size(1) :]


class _Drawn(LogitsProcessor):
    """Draws the next token of each row by the row's own seed, and leaves no other."""

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self._draws, self._temperature = [random.Random(seed) for seed in seeds], temperature

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """(rows, vocabulary), minus infinity but at what was drawn."""
        uniform = torch.tensor([[draw.random()] for draw in self._draws], dtype=torch.float64, device=scores.device)
        drawn = invert((scores.float() / self._temperature).softmax(-1), uniform)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def _ended(tokenizer: Any, task: Task, ids: list[int]) -> tuple[list[int], Sample]:
    """The tokens of an answer up to its end, and what a reward sees of it."""
    end = tokenizer.eos_token_id
    ids = ids[: ids.index(end) + 1] if end in ids else ids
    ids = up_to_stop(tokenizer, ids, task.prompt.stop)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return ids, task.sample(text, len(ids), ids[-1] == end)


def _padding(tokenizer: Any) -> int:
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _padded(rows: Sequence[Sequence[float]], value: float, side: str) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], True, value, side)


def _longest(mask: Tensor) -> int:
    return int(mask.sum(1).max())
