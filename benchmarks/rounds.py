"""Scores of critique-revision rounds by a preference model that people's comparisons trained. Bai et al. 2022, Fig. 5.

    python -m benchmarks.rounds --pairs harmless-base.jsonl.gz --prompts red_team.txt --to docs

Trains a preference model on human harmlessness comparisons, measures it on held-out ones, runs critique-revision chains
with the shipped constitution, scores every round, and writes a plot and a page. Every step resumes. `--pairs` is a file
of anthropics/hh-rlhf, or any that `cai.human` reads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.watch import Watch
from cai.config import Recipe
from cai.encoding import answered
from cai.human import Pair, load_pairs
from cai.identity import seed_of
from cai.learned_pairs import human_groups
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.prompts import Templates
from cai.records import Revision, RoundScore
from cai.stages.plots import by_round
from cai.stats import Estimate, mean, paired_difference, rate, to_text
from cai.store import RunFolder
from cai.train_config import PreferenceModelConfig
from cai.trainers.preference import train_preference_model
from cai.trainers.scorer import PreferenceScorer
from cai.weights import resolve

MODEL = "smollm2-135m"
LONGEST = 192
"""Tokens of a conversation with its answer; longer pairs are left out of training, for time."""
LONGEST_HELD_OUT = 512
CONFIG = PreferenceModelConfig(
    learning_rate=2e-5, batch_size=16, micro_batch=4, max_length=LONGEST, save_every=10, labels="hard"
)
ROUNDS, CHAINS, RESAMPLES = 4, 200, 2000
_FILE = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" style="background: white"'
_COLOURS = {"var(--blue)": "#0072b2", "var(--vermilion)": "#d55e00", "currentColor": "#1c1f24"}


def main() -> None:
    """Does all of it, or what is left."""
    options = _options()
    console, templates = Console(), Templates("chat")
    train, held_out = _split(load_pairs(options.pairs, "harmful").pairs)
    folder = options.runs / "human-harmlessness"
    if not (folder / "model").is_dir():
        _train(train, templates, folder, console)
    scorer = PreferenceScorer(folder / "model")
    measured = _accuracy(held_out, templates, scorer, folder)
    console.print(f"held-out accuracy {to_text(measured)} of {measured.n} pairs")
    if options.until != "preference_model":
        revisions = _chains(options, console)
        scores = _scored(revisions, templates, scorer, folder)
        _write(options.to, revisions, scores, measured, len(train))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=__doc__)
    parser.add_argument("--pairs", required=True, help="Human harmlessness comparisons.")
    parser.add_argument("--prompts", default="questions/red_team", help="Red-team prompts.")
    parser.add_argument("--engine", default="auto", help="What generates: auto, vllm or transformers.")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="Where models and chains are kept.")
    parser.add_argument("--to", type=Path, default=Path("docs"), help="Where the page and the plot go.")
    parser.add_argument("--until", choices=["preference_model"], help="Stop there.")
    return parser.parse_args()


def _split(pairs: tuple[Pair, ...]) -> tuple[list[Pair], list[Pair]]:
    """Three quarters for training; the prompt alone decides, so that no prompt is on both sides."""
    held_out = [seed_of("held out", pair.prompt.id) % 4 == 0 for pair in pairs]
    train = [pair for pair, out in zip(pairs, held_out, strict=True) if not out]
    return train, [pair for pair, out in zip(pairs, held_out, strict=True) if out]


def _train(pairs: list[Pair], templates: Templates, folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    groups = human_groups(pairs, lambda prompt: templates.render("respond", messages=prompt.messages))
    figures = train_preference_model(groups, MODEL, folder, CONFIG, 0, Watch(console, folder / "metrics.jsonl"))
    (folder / "figures.json").write_text(json.dumps(figures, indent=1))


def _accuracy(pairs: list[Pair], templates: Templates, scorer: PreferenceScorer, folder: Path) -> Estimate:
    """The share of held-out pairs in which the answer that people chose scores higher; pairs over the limit are out."""
    from transformers import AutoTokenizer

    path = folder / "held_out.json"
    if not path.is_file():
        tokenizer: Any = AutoTokenizer.from_pretrained(resolve(MODEL))
        sides = []
        for pair in pairs:
            prompt = templates.render("respond", messages=pair.prompt.messages)
            both = [(prompt, answer) for answer in (pair.chosen, pair.rejected)]
            if max(len(answered(tokenizer, *side)[0]) for side in both) <= LONGEST_HELD_OUT:
                sides.append(both)
        flat = scorer.score([side for both in sides for side in both])
        path.write_text(json.dumps(list(zip(flat[::2], flat[1::2], strict=True))))
    scores = json.loads(path.read_text())
    return rate(sum(chosen > rejected for chosen, rejected in scores), len(scores))


def _chains(options: argparse.Namespace, console: Console) -> list[Revision]:
    """The records of stage `revise`."""
    recipe = Recipe.model_validate(
        {
            "name": "rounds",
            "models": {"assistant": MODEL},
            "engine": {"type": options.engine},
            "prompts": {"harmful": options.prompts, "limit": CHAINS},
            "respond": {"max_tokens": 16},  # the stage comes first and its answers are not used here
            "revise": {
                "rounds": ROUNDS,
                "few_shot": 2,
                "max_tokens": 64,
                "temperature": 0.7,
                "top_p": 0.9,
            },
        }
    )
    steps = run(Material(recipe), RunFolder(options.runs, recipe.name), Reporter(console), until="revise")
    return list(steps["revise"].folder.records(Revision))


def _scored(
    revisions: list[Revision], templates: Templates, scorer: PreferenceScorer, folder: Path
) -> list[RoundScore]:
    path = folder / "rounds.json"
    if not path.is_file():
        sides = [(templates.render("respond", messages=one.prompt.messages), one.response.text) for one in revisions]
        rewards = dict(zip([one.id for one in revisions], scorer.score(sides), strict=True))
        path.write_text(json.dumps(rewards))
    rewards = json.loads(path.read_text())
    return [
        RoundScore(id=one.id, round=one.round, principles=one.principles, reward=rewards[one.id]) for one in revisions
    ]


def _write(to: Path, revisions: list[Revision], scores: list[RoundScore], accuracy: Estimate, trained: int) -> None:
    plot = by_round(scores, RESAMPLES)
    assert plot.svg
    (to / "rounds.svg").write_text(_alone(plot.svg))
    (to / "rounds.json").write_text(
        json.dumps({"accuracy": vars(accuracy), "pairs": trained, **_figures(revisions, scores)}, indent=1)
    )


def _alone(svg: str) -> str:
    """A plot as a file of its own: what it has from the report's page, it has to bring."""
    for name, colour in _COLOURS.items():
        svg = svg.replace(name, colour)
    return svg.replace("<svg ", f"<svg {_FILE} ", 1)


def _figures(revisions: list[Revision], scores: list[RoundScore]) -> dict[str, Any]:
    """Per round: score, its change from the first answer on the same prompts, words, and the share of flagged ones."""
    rewards = {score.id: score.reward for score in scores}
    rounds: dict[int, dict[str, Revision]] = {}
    for one in revisions:
        rounds.setdefault(one.round, {})[one.prompt.id] = one
    found = []
    for number, chains in sorted(rounds.items()):
        values = [rewards[one.id] for one in chains.values()]
        first = [rewards[rounds[0][name].id] for name in chains]
        found.append(
            {
                "round": number,
                "score": to_text(mean(values, resamples=RESAMPLES)),
                "change": to_text(paired_difference(values, first, resamples=RESAMPLES)) if number else None,
                "words": round(sum(len(one.response.text.split()) for one in chains.values()) / len(chains), 1),
                "flags": _shares(list(chains.values())),
            }
        )
    return {"chains": len(rounds[0]), "rounds": found}


def _shares(revisions: list[Revision]) -> dict[str, float]:
    names = sorted({flag for one in revisions for flag in one.flags})
    return {name: round(sum(name in one.flags for one in revisions) / len(revisions), 3) for name in names}


if __name__ == "__main__":
    main()
