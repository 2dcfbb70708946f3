"""A preference model from people's comparisons alone: trained on four fifths of the files given, tested on the rest.

    python -m benchmarks.human --helpful helpful-base.jsonl.gz --harmful harmless-base.jsonl.gz

One model a file, or one of both with `--together`. Files are anthropics/hh-rlhf's, or any that `cai.human` reads. A
prompt is on one side only. Writes each model and its figures into runs/; training resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.watch import Watch
from cai.human import load_pairs
from cai.learned_pairs import human_groups
from cai.preference_figures import evaluate_preference
from cai.preferences import Group, split_held_out
from cai.prompts import Templates
from cai.records import Kind
from cai.train_config import PreferenceModelConfig
from cai.trainers.preference import train_preference_model
from cai.trainers.scorer import PreferenceScorer

MODEL, HELD_OUT = "smollm2-135m", 0.2


def main() -> None:
    """Trains and tests what the command line names."""
    options, console, templates = _options(), Console(), Templates("chat")
    kinds: dict[Kind, str | None] = {"helpful": options.helpful, "harmful": options.harmful}
    found = {kind: groups_of(path, kind, templates) for kind, path in kinds.items() if path}
    everything = [group for groups in found.values() for group in groups]
    for name, groups in ({"both": everything} if options.together else found).items():
        _one(groups, options.runs / f"human-{name}", _config(options), options.seed, console)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.human", description=__doc__)
    parser.add_argument("--helpful", help="Comparisons of helpfulness.")
    parser.add_argument("--harmful", help="Comparisons of harmlessness.")
    parser.add_argument("--together", action="store_true", help="One model of both files.")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--freeze", type=int, default=15, help="Lowest layers that stay as they are.")
    parser.add_argument("--seed", type=int, default=0, help="Of the order of the pairs, and of the reward's own layer.")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="Where models and figures are kept.")
    return parser.parse_args()


def _config(options: argparse.Namespace) -> PreferenceModelConfig:
    return PreferenceModelConfig(
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        warmup=0.05,
        batch_size=16,
        micro_batch=4,
        max_length=512,
        too_long="truncate",
        freeze=options.freeze,
        save_every=20,
    )


def groups_of(path: str, kind: Kind, templates: Templates) -> list[Group]:
    """The pairs of a file, by prompt."""
    pairs = load_pairs(path, kind).pairs
    return human_groups(pairs, lambda prompt: templates.render("respond", messages=prompt.messages))


def _one(groups: list[Group], folder: Path, config: PreferenceModelConfig, seed: int, console: Console) -> None:
    learned, held_out = split_held_out(groups, HELD_OUT)
    if not (folder / "model").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        watch, start = Watch(console, folder / "metrics.jsonl"), time.perf_counter()
        figures = train_preference_model(learned, MODEL, folder, config, seed, watch)
        figures = {**figures, "seconds": round(time.perf_counter() - start), "threads": torch.get_num_threads()}
        (folder / "figures.json").write_text(json.dumps({**figures, "config": config.model_dump()}, indent=1))
    tested = evaluate_preference(PreferenceScorer(folder / "model"), held_out)
    (folder / "held_out.json").write_text(json.dumps(tested, indent=1))
    console.print_json(json.dumps({source: _said(one) for source, one in tested["sources"].items()}))


def _said(figures: dict[str, Any]) -> dict[str, Any]:
    """What is printed: the figures that are no tables."""
    return {name: value for name, value in figures.items() if not isinstance(value, dict | list) or name == "accuracy"}


if __name__ == "__main__":
    main()
