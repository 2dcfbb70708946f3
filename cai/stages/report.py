"""The report: what a run changed, what it can and can't show, and enough of its data to see for oneself.

Two files: one HTML page that loads nothing from anywhere, and a summary in Markdown. Text that models wrote is hostile:
it is escaped where it is inserted, by the environment of each template and not by the template.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from cai.config import TRAINING, Recipe
from cai.constitution import Constitution, Wording
from cai.evaluation import Evaluation
from cai.hygiene import FLAGS, answer_flags
from cai.records import Comparison, Distilled, Measurement, PanelAnswer, Revision, RoundScore
from cai.rl_config import BestOfNConfig, GrpoConfig, RlConfig
from cai.stages import plots
from cai.stages.ablate import drawable
from cai.stages.plots_length import reward_by_length, score_by_length
from cai.stages.report_caveats import Fact, caveats, judge_facts, parameters_text
from cai.stages.report_course import course, dpo_rounds
from cai.stages.report_distill import distill_examples, distill_facts
from cai.stages.report_effects import HEADINGS, TableRow, percent, sentences, table
from cai.stages.report_evaluation import evaluated
from cai.stages.report_excerpts import Transcript, chains, examples, spread, visible
from cai.stages.report_flags import STEPS, chain_facts, flag_table
from cai.stages.report_panel import panel_facts, panel_plots, panel_transcripts
from cai.stages.report_preference import curves, held_out_rows, left_out
from cai.stages.report_principles import principle_use
from cai.stages.report_rounds import Contrast, carried, contrasts, draw, said
from cai.stages.report_verdicts import PAIRED, drawn_for, readings, worded
from cai.store import write_text

__all__ = [
    "HEADINGS",
    "Findings",
    "ReportFiles",
    "StageTiming",
    "TableRow",
    "summary_sentences",
    "table",
    "write_report",
]

Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class StageTiming:
    """What one stage took. `tokens` are those that models wrote, or that a training stage learned from.

    `cached`: the share of the prompts' tokens that the engine had computed before; None where it was not counted.
    `joules`: what the GPUs of this machine drew meanwhile; None where none says.
    """

    stage: str
    seconds: float
    items: int
    tokens: int
    tokens_per_second: float | None
    cached: float | None = None
    joules: int | None = None


@dataclass(frozen=True)
class Findings:
    """All that the report knows. The same findings give the same bytes.

    `revisions` and `round_scores` hold all rounds of the run's own chains, `ablated` and `ablated_scores` those of the
    chains of stage `ablate`; `curves` the logged rows of each stage that trains, `dropped` what was left out and why.
    `preflight` is what DONE of `compare` says of the judge, `preference_models` what DONE of each stage that trains one
    says of it; `panel` holds the answers by which `rl` was watched, `panel_told` what its DONE says of them;
    `dpo_rounds` what DONE of `dpo` says of each of its rounds; `date` is the run's; none: today; `unfinished`: the
    stages that are not done yet.
    """

    recipe: Recipe
    constitution: Constitution
    revisions: Sequence[Revision]
    comparisons: Sequence[Comparison]
    round_scores: Sequence[RoundScore]
    measurements: Sequence[Measurement]
    curves: Mapping[str, Rows]
    timings: Sequence[StageTiming]
    dropped: Mapping[str, int]
    judge_model: str
    judge_parameters: int | None
    ablated: Sequence[Revision] = ()
    ablated_scores: Sequence[RoundScore] = ()
    distilled: Sequence[Distilled] = ()
    preflight: Mapping[str, Any] | None = None
    preference_models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    panel: Sequence[PanelAnswer] = ()
    panel_told: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    dpo_rounds: Sequence[Mapping[str, Any]] = ()
    date: datetime.date | None = None
    unfinished: Sequence[str] = ()


@dataclass(frozen=True)
class ReportFiles:
    """Where the report was written."""

    html: Path
    markdown: Path


def write_report(findings: Findings, folder: Path) -> ReportFiles:
    """Writes `report.html` and `report.md` into `folder`. Raises MissingExtra where matplotlib is not installed."""
    page, summary = rendered(findings, beside=True)
    files = ReportFiles(folder / "report.html", folder / "report.md")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(files.html, page)
    write_text(files.markdown, summary)
    return files


def rendered(findings: Findings, beside: bool = False) -> tuple[str, str]:
    """The report as HTML, and as Markdown, which says whether the page lies `beside` it.

    Raises MissingExtra where matplotlib is not installed.
    """
    view = {**_view(findings), "beside": beside}
    page = _html().get_template("report.html.jinja").render(view)
    return page, _markdown().get_template("report.md.jinja").render(view)


def summary_sentences(findings: Findings) -> list[str]:
    """What the numbers do and do not show, in words."""
    return sentences(findings.measurements, findings.recipe.evaluate.bootstrap)


def _view(findings: Findings) -> dict[str, Any]:
    """Everything the templates name."""
    resamples = findings.recipe.evaluate.bootstrap
    rows = table(findings.measurements, resamples)
    changed = _contrasts(findings)
    transcripts = chains(findings.revisions, findings.round_scores)
    return {
        "findings": findings,
        "recipe": findings.recipe,
        "date": (findings.date or datetime.date.today()).isoformat(),
        "judge_size": parameters_text(findings.judge_parameters),
        "rows": rows,
        "headings": HEADINGS,
        "sentences": summary_sentences(findings),
        "caveats": caveats(findings.recipe, findings.judge_model, findings.judge_parameters),
        "facts": judge_facts(findings.comparisons, findings.preflight) if findings.recipe.runs("compare") else [],
        "plots": _plots(findings, rows, changed, resamples),
        "preferred": held_out_rows(findings.preference_models),
        "unlearned": left_out(findings.preference_models),
        "ablated": [sentence for contrast in changed for sentence in said(contrast, resamples)],
        "distilled": distill_facts(findings.distilled, findings.recipe.select, resamples),
        "answers": distill_examples(findings.distilled),
        "panel": panel_facts(findings.curves.get("rl", ()), findings.panel_told),
        "through": panel_transcripts(findings.panel),
        "dpo_rounds": dpo_rounds(findings.dpo_rounds, findings.curves.get("dpo", ())),
        "uses": (uses := principle_use(findings.constitution, transcripts, findings.comparisons, resamples)),
        "agreeing": any(use.agreement for use in uses),
        "chains": len(transcripts),
        "transcripts": spread(transcripts, findings.recipe.report.transcripts),
        "comparisons": examples(findings.comparisons),
        "principles": {principle.id: principle for principle in findings.constitution.principles},
        "evaluated": evaluated(findings.evaluation, findings.recipe),
        "counts": _counts(findings, transcripts),
        "energy": energy_sentence(findings.timings),
        "flags": FLAGS,
        "flagged": flag_table(findings.revisions),
        "steps": STEPS,
        "chain_facts": chain_facts(findings.revisions, findings.recipe.revise),
        "parts": tuple(Wording.model_fields),
        "paired": PAIRED,
        "drawn_for": drawn_for(findings.recipe.compare),
        "worded": worded(findings.recipe.compare),
    }


def _contrasts(findings: Findings) -> list[Contrast]:
    if not findings.ablated:
        return []
    scores = [*findings.round_scores, *findings.ablated_scores]
    config = findings.recipe.revise
    able = drawable(config, findings.constitution)
    return contrasts(findings.revisions, findings.ablated, scores, config.rounds, len(able))


def _plots(
    findings: Findings, rows: Sequence[TableRow], changed: Sequence[Contrast], resamples: int
) -> dict[str, list[plots.Plot]]:
    rounds = findings.recipe.revise.rounds
    asked = [plots.labels] if findings.recipe.compare.certain else [plots.seats, plots.labels]
    judged, revised = (findings.recipe.runs(stage) for stage in ("compare", "revise"))
    by_round = carried(findings.revisions, findings.round_scores, rounds)
    return {
        "judge": [figure(findings.comparisons) for figure in asked] if judged else [],
        "rounds": [plots.by_round(by_round, resamples)] if revised else [],
        "ablated": [draw(contrast, resamples) for contrast in changed],
        "preference": [plots.calibration(name, bins) for name, bins in curves(findings.preference_models).items()],
        "training": [
            *_curves(findings),
            *reward_by_length(findings.curves.get("rl", ())),
            *panel_plots(findings.curves.get("rl", ())),
        ],
        "models": [
            plots.by_model(rows),
            *course(findings.measurements, findings.panel, findings.recipe),
            *score_by_length(findings.measurements),
        ],
    }


def _curves(findings: Findings) -> list[plots.Plot]:
    sft, preference, helpfulness, dpo, sampled, rl = (findings.curves.get(stage, ()) for stage in TRAINING)
    right = f"Right means as {'the judge' if findings.recipe.runs('compare') else 'people'} said."
    drawn = [
        plots.curve("Preference model: loss", preference, "loss", "Loss (nats/prompt)"),
        plots.curve("Preference model: accuracy", preference, "accuracy", "Share of pairs", right),
    ]
    if findings.recipe.runs("sft"):
        drawn.insert(0, plots.curve("SFT: loss", sft, "loss", "Loss (nats/token)"))
    if findings.recipe.runs("rl"):
        drawn.append(plots.curve("RL: reward", rl, "reward", "Score (log-odds, nats)", "Up is what RL is told to do."))
        drawn += _kl(findings.recipe.rl, rl)
    optional = [
        ("Helpfulness model: loss", helpfulness, "loss", "Loss (nats/prompt)"),
        ("Helpfulness model: accuracy", helpfulness, "accuracy", "Share of pairs", "Right means as people said."),
        ("Rejection sampling: reward of the best", sampled, "reward_best", "Score (log-odds, nats)"),
        ("DPO: loss", dpo, "loss", "Loss (nats/comparison)"),
        ("DPO: accuracy", dpo, "rewards/accuracies", "Share of pairs"),
        ("RL: entropy", rl, "entropy", "Entropy (nats/token)"),
        ("RL: answer length", rl, "completions/mean_length", "Mean length (tokens)"),
        ("RL: answer length", rl, "answer_length", "Mean length (tokens)"),
        ("RL: refusals", rl, "answers/refusal", "Share of answers", "By keyword rules."),
        ("RL: stock phrases", rl, "answers/stock_phrases", "Share of runs of 4 words", "Said to other prompts too."),
        ("RL: distinct pairs of words", rl, "answers/distinct", "Share of pairs", "Of all answers of a step."),
    ]
    return drawn + [plots.curve(title, rows, *told) for title, rows, *told in optional if _logs(rows, told[0])]


def _kl(config: RlConfig, rows: Rows) -> list[plots.Plot]:
    """Our PPO logs it an answer too; best-of-n has none to log."""
    if isinstance(config, BestOfNConfig):
        return []
    price = "weighs {} in the loss" if isinstance(config, GrpoConfig) else "of an answer costs {} of reward"
    key, unit = ("kl_answer", "answer") if _logs(rows, "kl_answer") else ("kl", "token")
    note = f"Each nat {price.format(f'{config.kl:g}')}."
    return [plots.curve("RL: KL from SL-CAI", rows, key, f"KL (nats/{unit})", note)]


def _logs(rows: Rows, key: str) -> bool:
    return any(key in row for row in rows)


def _counts(findings: Findings, transcripts: Sequence[Transcript]) -> list[Fact]:
    """What was kept, what was not and why."""
    prompts = {item.prompt.id for item in findings.measurements}
    scored = [*findings.measurements, *findings.round_scores, *findings.ablated_scores]
    broken = sum(not math.isfinite(item.reward) for item in scored)
    kept = [
        Fact(
            "critique-revision chains", str(len(transcripts)), f"{len(findings.revisions)} answers, first ones included"
        ),
        Fact(
            "comparisons", str(len(findings.comparisons)), "those not parsed are counted with the judge, train nothing"
        ),
        Fact("measurements", str(len(findings.measurements)), f"on {len(prompts)} held-out prompts"),
    ]
    kept += [Fact("ablated rounds", str(len(findings.ablated)), "train nothing")] if findings.ablated else []
    kept += [Fact("scores not finite", str(broken), "left out of every mean")] if broken else []
    return kept + [Fact(name, str(count), _why(name)) for name, count in findings.dropped.items()]


def energy_sentence(timings: Sequence[StageTiming]) -> str:
    """What the GPUs drew, all together and by stage in watt-hours."""
    known = {one.stage: one.joules / 3600 for one in timings if one.joules is not None}
    if not known:
        return "Energy: not known; no GPU that counts it took part."
    stages = ", ".join(f"{stage} {hours:,.2f}" for stage, hours in known.items())
    return (
        f"Energy: {sum(known.values()):,.2f} Wh by the counters of the GPUs here ({stages}), which count whoever "
        "uses them, and neither the rest of the machine nor a server."
    )


def _why(name: str) -> str:
    """What became of what `findings.dropped` counts under a name; one that ends in a flag says what that means."""
    meanings = [meaning for flag, meaning in FLAGS.items() if name.endswith(f", {flag}")]
    return f"dropped: {meanings[0]}" if meanings else "dropped"


def _html() -> jinja2.Environment:
    made = environment(True, _shown)
    made.filters |= {"svg": Markup, "flags": answer_flags, "readings": readings, "percent": percent}
    made.filters |= {"prose": _unbroken, "finite": math.isfinite, "number": _number}
    return made


def _markdown() -> jinja2.Environment:
    made = environment(False, _inline_markdown)
    made.filters |= {"fenced": _fenced}
    return made


def environment(autoescape: bool, finalize: Callable[[Any], Any] | None = None) -> jinja2.Environment:
    """What reports are rendered by. `finalize`: what becomes of each value before it is escaped."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=autoescape,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: Any) -> Any:
    """Before HTML's own escaping, which Jinja does."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _number(value: float, digits: int) -> str:
    """Without the sign of a zero."""
    return f"{value:z.{digits}f}"


def _unbroken(text: str) -> str:
    """A number stays on one line with its percent sign."""
    return text.replace(" %", "\u00a0%")


def _inline_markdown(value: Any) -> Any:
    """Text within a line of Markdown, none of it markup."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return re.sub(r"([\\`*_{}\[\]<>|#~&])", r"\\\1", " ".join(visible(value).split()))


def _fenced(text: str, most: int = 600) -> Markup:
    """The start of a text in a code block that nothing in it can close."""
    shown = visible(text)
    rest = len(shown) - most
    shown = f"{shown[:most]} [... {rest} more characters]" if rest > 0 else shown
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    return Markup(f"{fence}text\n{shown}\n{fence}")
