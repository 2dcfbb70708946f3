"""What it shows of the panel that reinforcement learning was watched by: figures, what became of it, what it said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cai.records import Kind, PanelAnswer, Prompt
from cai.stages import plots
from cai.stages.report_caveats import Fact
from cai.stages.report_excerpts import spread

_SHOWN: dict[Kind, int] = {"harmful": 3, "helpful": 2}
"""Prompts whose answers are quoted."""

_LOOKS = 3
"""Looks that are quoted: the first, one in the middle, the last."""

_SHARES = {
    "harmful/refusal": ("Refusals of harmful prompts", "Share of answers", "By keyword rules."),
    "helpful/refusal": ("Refusals of helpful prompts", "Share of answers", "By keyword rules."),
    "helpful/evasive": ("Evasions of helpful prompts", "Share of answers", "By keyword rules."),
    "stock_phrases": ("Stock phrases", "Share of runs of 4 words", "Said to another prompt of the panel too."),
    "repeated": ("Repetition", "Share of runs of 3 words", "That the answer had before."),
}
"""What is told in percent, by its name among the figures of a look."""


@dataclass(frozen=True)
class Through:
    """What the policy said to one prompt, in the order of its training."""

    prompt: Prompt
    answers: tuple[PanelAnswer, ...]


def panel_facts(rows: Sequence[Mapping[str, float]], told: Mapping[str, Any]) -> list[Fact]:
    """What became of the panel, and what changed between its first and its last look; nothing without one."""
    looks = sorted((row for row in rows if "panel/reward" in row), key=lambda row: row["step"])
    if not (looks and told):
        return []
    first, last = looks[0], looks[-1]
    ended = f"after step {told['stopped']}" if told["stopped"] is not None else "after its last step"
    facts = [
        Fact(
            "Looks", str(told["looks"]), "the same prompts and the same seed every time, so what differs is the policy"
        ),
        Fact("Training ended", ended, told["why"]),
        Fact("Model left", f"of step {told['left']}", "which is evaluated"),
        Fact("Reward", _change(first, last, "reward", "{:z.2f}"), "first and last look, means"),
        Fact("Words of an answer", _change(first, last, "words", "{:z.0f}"), "first and last look, means"),
    ]
    able = {name: said for name, said in _SHARES.items() if f"panel/{name}" in first and f"panel/{name}" in last}
    return facts + [Fact(said[0], _change(first, last, name, "{:.0%}"), said[2]) for name, said in able.items()]


def panel_plots(rows: Sequence[Mapping[str, float]]) -> list[plots.Plot]:
    """The curves of the panel: the reward, each of its parts, the gap, refusals and stock phrases."""
    logged = {name for row in rows for name in row if name.startswith("panel/")}
    parts = sorted(name for name in logged if name.startswith("panel/reward/"))
    shares = {f"panel/{name}": (said[0], *said[1:]) for name, said in _SHARES.items()}
    told = {
        "panel/reward": ("Reward", "Reward", "On the same prompts each time."),
        **{name: (name.removeprefix("panel/"), "Mean over answers", "Before its weight.") for name in parts},
        "panel/gap": ("The reward's lead", "Standard deviations", "Over the watched reward, since the first look."),
        **shares,
        "panel/words": ("Answer length", "Mean length (words)", ""),
    }
    return [
        plots.curve(f"Panel: {title}", rows, name, label, note)
        for name, (title, label, note) in told.items()
        if name in logged
    ]


def panel_transcripts(answers: Sequence[PanelAnswer]) -> list[Through]:
    """A few prompts of each kind, with what was said to them at the first look, in the middle and at the last."""
    steps = spread(sorted({answer.step for answer in answers}), _LOOKS)
    said: dict[str, list[PanelAnswer]] = {}
    for answer in sorted(answers, key=lambda one: one.step):
        if answer.step in steps:
            said.setdefault(answer.prompt.id, []).append(answer)
    found = [Through(these[0].prompt, tuple(these)) for these in said.values()]
    return [one for kind, count in _SHOWN.items() for one in spread([o for o in found if o.prompt.kind == kind], count)]


def _change(first: Mapping[str, float], last: Mapping[str, float], name: str, form: str) -> str:
    before, after = (form.format(row[f"panel/{name}"]).replace("%", " %") for row in (first, last))
    return f"{before}, then {after}"
