"""What the report says of a panel: what became of it, its curves, and transcripts through the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_data import EMPTY, findings, prompt

from cai.records import Kind, PanelAnswer
from cai.stages.report import write_report
from cai.stages.report_panel import panel_facts, panel_plots, panel_transcripts

WHY = "stopped after step 50: the reward ran 3.00 standard deviations ahead of preference_model_2"
TOLD = {"looks": 3, "stopped": 50, "left": 25, "why": WHY}
ROWS: list[dict[str, Any]] = [
    {"step": 0, "panel/reward": 0.0, "panel/words": 20.0, "panel/harmful/refusal": 0.5, "panel/helpful/refusal": 0.0,
     "panel/reward/preference_model": 0.1, "panel/gap": 0.0},
    {"step": 1, "reward": 0.3},
    {"step": 50, "reward": 0.9, "panel/reward": 2.5, "panel/words": 31.4, "panel/harmful/refusal": 1.0,
     "panel/helpful/refusal": 0.25, "panel/reward/preference_model": 0.4, "panel/gap": 3.0},
]  # fmt: skip


def answer(step: int, number: int, kind: Kind = "harmful") -> PanelAnswer:
    asked = prompt(f"{kind} {number}", kind)
    text = f"<b>step {step}</b> on {number}"
    return PanelAnswer(
        id=f"{step}/{asked.id}",
        step=step,
        prompt=asked,
        response=text,
        tokens=3,
        finished=True,
        reward=step / 2,
        parts={},
    )


KINDS: tuple[Kind, ...] = ("harmful", "helpful")
ANSWERS = [answer(step, number, kind) for step in (0, 10, 25, 40, 50) for kind in KINDS for number in range(6)]


def test_the_facts_say_what_became_of_it_and_what_changed() -> None:
    facts = {fact.name: (fact.value, fact.meaning) for fact in panel_facts(ROWS, TOLD)}
    assert facts["Training ended"] == ("after step 50", WHY) and facts["Model left"][0] == "of step 25"
    assert facts["Reward"][0] == "0.00, then 2.50" and facts["Words of an answer"][0] == "20, then 31"
    assert facts["Refusals of helpful prompts"][0] == "0 %, then 25 %"
    assert facts["Refusals of harmful prompts"][0] == "50 %, then 100 %"
    watched = panel_facts(ROWS, {**TOLD, "stopped": None})
    assert {fact.name: fact.value for fact in watched}["Training ended"] == "after its last step"


def test_a_run_without_one_says_nothing() -> None:
    assert panel_facts([{"step": 1, "reward": 0.3}], {}) == [] and panel_facts([], TOLD) == []
    assert panel_plots([{"step": 1, "reward": 0.3}]) == [] and panel_transcripts([]) == []


def test_the_reward_its_parts_and_the_gap_are_drawn() -> None:
    drawn = panel_plots(ROWS)
    assert [plot.title.removeprefix("Panel: ") for plot in drawn] == [
        "Reward", "reward/preference_model", "The reward's lead", "Refusals of harmful prompts",
        "Refusals of helpful prompts", "Answer length",
    ]  # fmt: skip
    assert all(plot.svg for plot in drawn)


def test_a_few_prompts_of_each_kind_are_quoted_at_the_first_a_middle_and_the_last_look() -> None:
    found = panel_transcripts(ANSWERS[::-1])
    assert [one.prompt.kind for one in found] == ["harmful"] * 3 + ["helpful"] * 2
    assert all([answer.step for answer in one.answers] == [0, 25, 50] for one in found)
    assert len({one.prompt.id for one in found}) == 5


def test_the_report_shows_it_and_escapes_what_the_policy_said(tmp_path: Path) -> None:
    given = {**EMPTY, "curves": {"rl": ROWS}, "panel": ANSWERS, "panel_told": TOLD}
    files = write_report(findings(**given), tmp_path)
    page, summary = files.html.read_text(), files.markdown.read_text()
    assert WHY in page and "The panel that RL was watched by" in page and "After 25 steps" in page
    assert "&lt;b&gt;step 25&lt;/b&gt;" in page and "<b>step" not in page
    assert "The panel that RL was watched by" in summary and "after step 50" in summary
    plain = write_report(findings(**EMPTY), tmp_path / "plain")
    assert not any("The panel that" in file.read_text() for file in (plain.html, plain.markdown))
