"""Gathers what a run's steps left into what the report shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from cai.config import TRAINING
from cai.evaluated import evaluation_of
from cai.material import Material
from cai.plan import Step
from cai.records import Comparison, Distilled, Measurement, PanelAnswer, Record, Revision, RoundScore
from cai.stages.report import Findings, StageTiming
from cai.stages.report_preference import NAMES
from cai.weights import parameters


def findings(material: Material, steps: Mapping[str, Step]) -> Findings:
    """Everything the report knows of a run whose other stages are done."""
    judge = material.recipe.models.feedback.model

    def records(stage: str, kind: type[Record]) -> list[Any]:
        return list(steps[stage].folder.records(kind)) if stage in steps else []

    comparisons, scores = records("compare", Comparison), records("score_rounds", RoundScore)
    return Findings(
        recipe=material.recipe,
        constitution=material.constitution,
        revisions=records("revise", Revision),
        comparisons=comparisons,
        round_scores=[score for score in scores if not score.variant],
        measurements=records("evaluate", Measurement),
        curves={stage: steps[stage].folder.metrics() for stage in TRAINING if stage in steps},
        timings=[timing(stage, step.folder.summary) for stage, step in steps.items() if step.folder.done],
        dropped=dropped(material, steps, comparisons),
        judge_model=judge,
        judge_parameters=parameters(judge),
        ablated=records("ablate", Revision),
        ablated_scores=[score for score in scores if score.variant],
        distilled=records("distill", Distilled),
        preflight=steps["compare"].folder.summary.get("preflight") if "compare" in steps else None,
        evaluation=evaluation_of(
            {stage: step.folder for stage, step in steps.items()}, material.recipe.evaluate.bootstrap
        ),
        panel=list(steps["rl"].folder.records(PanelAnswer, "panel.jsonl")) if "rl" in steps else [],
        panel_told=steps["rl"].folder.summary.get("panel", {}) if "rl" in steps else {},
        dpo_rounds=steps["dpo"].folder.summary.get("rounds", []) if "dpo" in steps else [],
        preference_models={stage: steps[stage].folder.summary for stage in NAMES if stage in steps},
    )


def timing(stage: str, summary: Mapping[str, Any]) -> StageTiming:
    """What DONE says of a stage's time."""
    seconds, tokens = summary["seconds"], summary.get("tokens", 0)
    items = summary.get("items") or summary.get("rows") or summary.get("pairs") or summary.get("prompts") or 0
    rate = tokens / seconds if tokens and seconds else None
    read, cached = summary.get("prompt_tokens"), summary.get("cached_tokens")
    share, joules = cached / read if read and cached is not None else None, summary.get("gpu_joules")
    return StageTiming(stage, seconds, items, tokens, rate, share, joules)


def dropped(material: Material, steps: Mapping[str, Step], comparisons: list[Comparison]) -> dict[str, int]:
    """Everything that was left out, and why."""
    counts = {f"duplicate {kind} prompts": split.duplicates for kind, split in material.prompts.items()}
    failed = {stage: step.folder.summary.get("failed", 0) for stage, step in steps.items()}
    counts |= {f"{stage}: items failed": count for stage, count in failed.items() if count}
    states = Counter(comparison.verdict.state for comparison in comparisons)
    counts |= {f"comparisons {state}": count for state, count in states.items() if state != "parsed"}
    for stage, unit in (("sft", "rows"), *((name, "pairs") for name in (*NAMES, "dpo"))):
        if stage in steps:
            counts[f"{stage}: {unit} over max_length"] = steps[stage].folder.summary.get("too_long", 0)
    left_out = steps["sft"].folder.summary.get("left_out", {}) if "sft" in steps else {}
    counts |= {f"sft: rows left out, {reason}": count for reason, count in left_out.items()}
    return counts
