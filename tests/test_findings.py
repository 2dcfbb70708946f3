"""What the report is given of a run: its own chains apart from its ablations, and all that was left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cai.config import load_recipe
from cai.findings import dropped, findings
from cai.material import Material
from cai.plan import Step, plan
from cai.records import Comparison, Completion, Message, Prompt, Record, Revision, RoundScore, Verdict
from cai.store import RunFolder

PROMPT = Prompt.of((Message(role="user", content="Question?"),), "harmful", "test")
SAID = Completion(text="Answer.", raw="Answer.", finish="stop", prompt_tokens=1, tokens=1, seed=0)


@pytest.fixture
def loaded() -> Material:
    return Material(load_recipe("smoke", ["ablate={}"]))


def left(loaded: Material, runs: Path, **records: Sequence[Record]) -> dict[str, Step]:
    """The steps of a run, all done, which left these records."""
    steps = plan(loaded, RunFolder(runs, "smoke"))
    for stage, step in steps.items():
        step.folder.begin({})
        for record in records.get(stage, ()):
            step.folder.append(record)
        step.folder.close()
        step.folder.finish({"seconds": 1.0})
    return steps


def revision(round_: int, variant: str = "") -> Revision:
    name = f"{variant}/{PROMPT.id}/{round_}".removeprefix("/")
    return Revision(id=name, prompt=PROMPT, variant=variant, round=round_, critique=None, response=SAID)


def score(of: Revision) -> RoundScore:
    return RoundScore(id=of.id, round=of.round, variant=of.variant, reward=0.0)


def test_ablations_stand_apart_from_the_runs_own_chains(loaded: Material, tmp_path: Path) -> None:
    own, direct = [revision(0), revision(1)], [revision(1, "direct")]
    scores = [score(one) for one in (*direct, *own)]
    steps = left(loaded, tmp_path, revise=own, ablate=direct, score_rounds=scores)
    found = findings(loaded, steps)
    assert (found.revisions, found.ablated) == (own, direct)
    assert (found.round_scores, found.ablated_scores) == (scores[1:], scores[:1])
    assert found.distilled == []
    assert [timing.stage for timing in found.timings] == list(steps)


def test_a_run_without_optional_stages_is_gathered_too(tmp_path: Path) -> None:
    plain = Material(load_recipe("smoke"))
    found = findings(plain, left(plain, tmp_path, revise=[revision(0)], score_rounds=[score(revision(0))]))
    assert (len(found.revisions), len(found.round_scores)) == (1, 1)
    assert not [*found.ablated, *found.ablated_scores, *found.distilled]


def test_all_that_was_left_out_is_counted_with_its_reason(loaded: Material, tmp_path: Path) -> None:
    steps = plan(loaded, RunFolder(tmp_path, "smoke"))
    summaries = {
        "revise": {"failed": 2},
        "sft": {"too_long": 3, "left_out": {"meta-talk": 4, "helpful_share": 5}},
        "preference_model": {"too_long": 6},
    }
    for stage, step in steps.items():
        step.folder.begin({})
        step.folder.finish({"seconds": 1.0, **summaries.get(stage, {})})
    verdicts = [Verdict(state=state, p_a=None) for state in ("unparsed", "skipped", "unparsed")]
    compared = [Comparison(id="x", prompt=PROMPT, principles=("p",), a=SAID, b=SAID, verdict=one) for one in verdicts]
    assert dropped(loaded, steps, compared) == {
        "duplicate harmful prompts": 0,
        "duplicate helpful prompts": 0,
        "revise: items failed": 2,
        "comparisons unparsed": 2,
        "comparisons skipped": 1,
        "sft: rows over max_length": 3,
        "sft: rows left out, meta-talk": 4,
        "sft: rows left out, helpful_share": 5,
        "preference_model: pairs over max_length": 6,
    }
