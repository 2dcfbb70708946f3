"""PPO, RLOO and GRPO against the same preference model, at equal answers and tokens: what rises, and at what KL.

    python -m benchmarks.human --helpful helpful-base.jsonl.gz --runs runs/first            # the model that is climbed
    python -m benchmarks.human --helpful helpful-base.jsonl.gz --runs runs/second --seed 1 --epochs 0.5  # watches
    python -m benchmarks.rl_curves --helpful helpful-base.jsonl.gz \
        --climbed runs/first/human-helpful/model --watching runs/second/human-helpful/model
    python -m benchmarks.rl_curves ... --plot docs/rl.svg

Trains SmolLM2-135M by each algorithm with each seed, asks it held-out prompts before and after, and writes the figures
of each training into runs/; one that is done is not done again. Prompts are those of the pairs that the preference
models learned from, and of those that they did not. The rows go to benchmarks/rl.json.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.__main__ import merge_rows
from benchmarks.human import HELD_OUT, groups_of
from benchmarks.rl_figures import best_of_n, plotted, rows_of
from benchmarks.watch import Watch
from cai.preferences import split_held_out
from cai.prompts import Templates
from cai.records import Kind
from cai.rl_config import GrpoConfig, PpoConfig, RlooConfig
from cai.trainers.actor_critic import Reference
from cai.trainers.mixing import Task, mix
from cai.trainers.ppo import train_ppo
from cai.trainers.preference_reward import PreferenceReward
from cai.trainers.reward import Reward
from cai.trainers.rewards import Part, Sum
from cai.trainers.rl import train_rl
from cai.trainers.rollout import Written, seeds_of, write
from cai.trainers.watched import Watched
from cai.weights import resolve

MODEL = "smollm2-135m"
RESULTS = Path(__file__).with_name("rl.json")
STEPS, ANSWERS, TOKENS, SAMPLES = 16, 16, 24, 4
"""Of each training: steps, answers a step, tokens of the longest answer; answers a prompt where there are several."""

WORDS = 24
"""Longer prompts are left out."""

ASKED, EACH = 80, 4
"""Held-out prompts, and answers to each."""

COMMON = {"steps": STEPS, "max_tokens": TOKENS, "learning_rate": 2e-5, "save_every": 8, "helpful_share": 1.0}
GROUPS = {**COMMON, "prompts_per_step": ANSWERS // SAMPLES, "samples": SAMPLES, "micro_batch": 8}
CONFIGS: dict[str, PpoConfig | RlooConfig | GrpoConfig] = {
    "ppo": PpoConfig(
        **COMMON, prompts_per_step=ANSWERS, minibatch=ANSWERS, micro_batch=8, warmup=0, value_learning_rate=3e-5
    ),
    "rloo": RlooConfig(**GROUPS),
    "grpo": GrpoConfig(**GROUPS),
}


@dataclass(frozen=True)
class Setting:
    """What all trainings share."""

    learned: list[Task]
    asked: list[Task]
    climbed: str
    watching: str


def main() -> None:
    """Trains what is not trained yet, and writes rows and plot of all that is."""
    options, console = _options(), Console()
    setting = _setting(options)
    _once(options.runs / "before.json", lambda: _answers(MODEL, setting, EACH))
    _once(options.runs / "best-of-n.json", lambda: best_of_n(_scored_samples(setting)))
    for seed in range(options.seeds):
        for name in options.algorithms:
            _trained(name, seed, setting, options.runs / f"{name}-{seed}", console)
    rows = rows_of(options.runs)
    merge_rows(RESULTS, rows)
    console.print_json(json.dumps(rows))
    if options.plot:
        plotted(options.runs, options.plot)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rl_curves", description=__doc__)
    parser.add_argument("--helpful", required=True, help="Comparisons of helpfulness, whose prompts are asked.")
    parser.add_argument("--climbed", required=True, help="The preference model that is climbed: a folder.")
    parser.add_argument("--watching", required=True, help="One of another seed, which nothing learns from.")
    parser.add_argument("--algorithms", nargs="*", default=[*CONFIGS], choices=[*CONFIGS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/rl-curves"), help="Where figures are kept.")
    parser.add_argument("--plot", type=Path, help="A file for the plot.")
    return parser.parse_args()


def _setting(options: argparse.Namespace) -> Setting:
    learned, held_out = split_held_out(groups_of(options.helpful, "helpful", Templates("chat")), HELD_OUT)
    sides = [[Task(one, "helpful") for one in _short(side)] for side in (learned, held_out)]
    return Setting(sides[0], sides[1][:ASKED], options.climbed, options.watching)


def _short(groups: Sequence[Any]) -> list[Any]:
    """The prompts of one short turn, each once."""
    prompts = dict.fromkeys(group.prompt for group in groups)
    return [one for one in prompts if len(one.messages) == 1 and len(one.messages[0].content.split()) <= WORDS]


def _scores(setting: Setting) -> Reward:
    climbed, watching = (PreferenceReward(folder) for folder in (setting.climbed, setting.watching))
    return Sum([Part("climbed", 1.0, climbed), Part("watching", 0.0, watching)])


def _trained(name: str, seed: int, setting: Setting, folder: Path, console: Console) -> None:
    """One training, and what its model says afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    _once(
        folder / "figures.json", lambda: _train(name, seed, setting, folder, Watch(console, folder / "metrics.jsonl"))
    )
    _once(folder / "after.json", lambda: _answers(str(folder / "model"), setting, EACH))


def _train(name: str, seed: int, setting: Setting, folder: Path, watch: Watch) -> dict[str, Any]:
    config, reward = CONFIGS[name], Watched(Sum([Part("climbed", 1.0, PreferenceReward(setting.climbed))]))
    if not isinstance(config, PpoConfig):
        return train_rl([], setting.learned, MODEL, reward, folder, config, seed, watch)
    tasks = mix([], setting.learned, 1.0, STEPS * ANSWERS, seed)
    kinds: list[Kind] = [task.kind for task in tasks]
    prompts, critic = [task.prompt for task in tasks], setting.climbed
    return train_ppo(prompts, MODEL, reward, folder, config, seed, watch, critic_start=critic, kinds=kinds)


def _scored_samples(setting: Setting) -> dict[str, Any]:
    return _answers(MODEL, setting, 16, log_ratio=False)


def _answers(model: str, setting: Setting, each: int, log_ratio: bool = True) -> dict[str, Any]:
    """Answers to the held-out prompts, each with both scores, its log-ratio to the start (nats) and its tokens."""
    tasks = [task for task in setting.asked for _ in range(each)]
    policy, tokenizer = _loaded(model)
    written = write(policy, tokenizer, tasks, seeds_of(len(tasks), "answers"), TOKENS, 1.0, 32)
    own = _sums(policy, written) if log_ratio else [0.0] * len(tasks)
    del policy
    gc.collect()
    start = _sums(_loaded(MODEL)[0], written) if log_ratio else own
    rewarded = _scores(setting)(written.samples)
    told = {key: list(values) for key, values in rewarded.parts.items()}
    ratios = [mine - before for mine, before in zip(own, start, strict=True)]
    return {
        **told,
        "log_ratio": ratios,
        "prompt": [n // each for n in range(len(tasks))],
        "tokens": [sample.tokens for sample in written.samples],
        "answers": [sample.answer for sample in written.samples],
    }


def _loaded(model: str) -> tuple[Any, Any]:
    path = resolve(model)
    loaded: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return loaded.eval(), AutoTokenizer.from_pretrained(path)


@torch.no_grad()
def _sums(model: Any, written: Written) -> list[float]:
    """Log-probability of each answer, nats."""
    found: list[float] = []
    reference = Reference(model, model)
    for rows in torch.arange(len(written.samples)).split(16):
        tokens, seen, width = written.rows(rows)
        said = reference.log_probs(tokens, seen, width, 1.0) * written.mask[rows, :width]
        found += said.sum(1).tolist()
    return found


def _once(file: Path, work: Any) -> None:
    """Writes what `work` gives, unless the file is there."""
    if not file.is_file():
        found = work()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
