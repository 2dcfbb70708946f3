"""Rejection sampling: of several answers to a prompt the best is learned, round after round. Llama 2, section 3.2.3.

Each round samples from the last round's model, keeps the best answer to each prompt (of all rounds so far: Llama 2
found that forgetting earlier ones loses abilities), and finetunes on these. Deviations: the size of the sample is a
setting (Llama 2 names none), and each round goes on from the last one's weights, of which Llama 2 does not speak.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.errors import InputError
from cai.identity import digest, seed_of
from cai.rl_config import BestOfNConfig
from cai.store import write_json
from cai.trainers.common import Watch, leave_model
from cai.trainers.mixing import Task, in_turn
from cai.trainers.panel import Panel
from cai.trainers.reward import Reward
from cai.trainers.rewards import means
from cai.trainers.rollout import seeds_of, write
from cai.trainers.sft import train_sft
from cai.weights import resolve


@dataclass(frozen=True)
class Best:
    """The best answer to a prompt so far. `key` names the prompt; `round` is when it was written."""

    key: str
    answer: str
    reward: float
    round: int


@dataclass(frozen=True)
class Sampled:
    """What a round sampled: the best answer to each prompt that has one, and what is logged of all answers."""

    best: tuple[Best, ...]
    row: Mapping[str, float]


def train_best_of_n(
    tasks: Sequence[Task],
    start: str,
    reward: Reward,
    folder: Path,
    config: BestOfNConfig,
    seed: int,
    watch: Watch,
    panel: Panel | None = None,
) -> dict[str, Any]:
    """Finetunes `start` on the best of its own answers, and leaves the last model in `folder`/model.

    `tasks` are taken in order, `prompts_per_step` a round. `reward` is compared from round to round, so nothing may be
    whitened in it. `panel` is looked at after each round, and may end the training early. What each round kept stays in
    `folder`/rounds. Logged every round: mean reward of all answers and of
    the best ones, each part, how far picking the best goes (`kl_bound`), and the finetuning's loss. A round that is
    done is not done again. Returns rounds, tokens, the last round's figures, how many prompts had no answer to learn,
    and what became of the panel. Raises InputError where no prompt has one, Interrupted after Ctrl-C.
    """
    by_key = {_key(task): task for task in tasks}
    kept: dict[str, Best] = {}
    row: dict[str, float] = {}
    tokens, models = 0, {0: start}
    if panel:
        panel.resume(config.steps)  # a look is stored once its round is done, and a round is not done again
        _look(panel, 0, start)
    for number in range(1, config.steps + 1):
        place, asked = folder / "rounds" / str(number), _asked(tasks, number, config)
        sampled = _once(place / "best.json", partial(_sampled, asked, start, reward, config, seed, number))
        kept = better(kept if config.keep_earlier else {}, sampled.best)
        if not kept:
            raise InputError("rl: every answer of the model is empty, so there is none to learn from")
        rows = [(by_key[one.key].prompt, one.answer) for one in kept.values()]
        loss = _finetuned(rows, start, place, config, seed_of(seed, "best of n", number))
        start = models[number] = str(place / "model")
        tokens += int(sampled.row["tokens"])
        row = {**sampled.row, "rows": float(len(rows)), "loss": loss, "num_tokens": float(tokens)}
        watch.metric({"step": number, **row})
        watch.step(number, config.steps)
        if panel:
            _look(panel, number, start)
            if panel.stopped and panel.last == number:
                break
    start = models[panel.best or 0] if panel and panel.rolls_back else start
    leave_model(folder, lambda part: shutil.copytree(resolve(start), part) and None)
    watched = {"panel": panel.close()} if panel else {}
    return {"steps": len(models) - 1, "tokens": tokens, "reward": row["reward"], "empty": int(row["empty"]), **watched}


def better(kept: Mapping[str, Best], found: Sequence[Best]) -> dict[str, Best]:
    """The best answer to each prompt of those kept and those found; of equal ones the earlier."""
    best = dict(kept)
    for one in found:
        if one.key not in best or one.reward > best[one.key].reward:
            best[one.key] = one
    return best


def kl_bound(samples: int) -> float:
    """The most that picking the best of so many can move an answer's distribution, nats: log n - (n - 1) / n.

    Of KL(best of n || the model itself). Beirami et al. 2024 (arXiv 2401.01879), who show that it is a bound.
    """
    return math.log(samples) - (samples - 1) / samples


def _asked(tasks: Sequence[Task], number: int, config: BestOfNConfig) -> list[Task]:
    """A round's prompts, each once."""
    return list({_key(task): task for task in in_turn(tasks, number, config.prompts_per_step)}.values())


def _key(task: Task) -> str:
    return digest([[(m.role, m.content) for m in task.prompt.messages], task.prompt.text])


def _once(file: Path, work: Callable[[], Sampled]) -> Sampled:
    """What `work` gives, kept in a file for the next time."""
    if file.is_file():
        stored = json.loads(file.read_text("utf-8"))
        return Sampled(tuple(Best(**one) for one in stored["best"]), stored["row"])
    sampled = work()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"best": [asdict(one) for one in sampled.best], "row": dict(sampled.row)})
    return sampled


def _sampled(
    asked: Sequence[Task], start: str, reward: Reward, config: BestOfNConfig, seed: int, number: int
) -> Sampled:
    """The answers of one round, rewarded all at once."""
    model, tokenizer = _loaded(start)
    tasks = [task for task in asked for _ in range(config.samples)]
    seeds = seeds_of(len(tasks), seed, "best of n sampling", number)
    written = write(model, tokenizer, tasks, seeds, config.max_tokens, config.temperature, config.sampling_batch)
    del model
    gc.collect()
    rewarded = reward(written.samples)
    answers = [Best(_key(task), sample.answer, total, number)
               for task, sample, total in zip(tasks, written.samples, rewarded.total, strict=True)]  # fmt: skip
    best = tuple(better({}, [one for one in answers if one.answer]).values())
    row = {
        "reward": _mean([one.reward for one in answers]),
        "reward_best": _mean([one.reward for one in best]) if best else 0.0,
        **means(rewarded),
        "kl_bound": kl_bound(config.samples),
        "answer_length": _mean([sample.tokens for sample in written.samples]),
        "truncated": _mean([not sample.finished for sample in written.samples]),
        "empty": float(len(asked) - len(best)),
        "tokens": float(sum(sample.tokens for sample in written.samples)),
    }
    return Sampled(best, row)


def _loaded(start: str) -> tuple[Any, Any]:
    """A model and its tokenizer."""
    path = resolve(start)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    return loaded.to("cuda" if torch.cuda.is_available() else "cpu").eval(), AutoTokenizer.from_pretrained(
        path, trust_remote_code=False
    )


def _look(panel: Panel, number: int, start: str) -> None:
    """Looks at the model of a round, if that was not done before."""
    if panel.due(number):
        panel.look(number, *_loaded(start))
        gc.collect()


def _finetuned(rows: Sequence[Any], start: str, place: Path, config: BestOfNConfig, seed: int) -> float:
    """Leaves the round's model in `place`, if it is not there yet; returns the mean loss, nats a token."""
    file = place / "loss.json"
    if not (place / "model").is_dir() or not file.is_file():
        figures = train_sft(rows, start, place, config.sft, seed, _Unwatched())
        write_json(file, figures["loss"])
        shutil.rmtree(place / "checkpoints")
    return json.loads(file.read_text("utf-8"))


class _Unwatched:
    """The finetuning within a round, whose mean loss is all that is logged of it."""

    def step(self, done: int, total: int) -> None: ...

    def metric(self, row: dict[str, Any]) -> None: ...


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
