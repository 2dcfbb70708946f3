"""Every way to come by pairs and every mode of the judge, through a whole recipe on the scripted engine."""

from pathlib import Path

import pytest
from rich.console import Console

from cai.config import load_recipe
from cai.errors import InputError
from cai.material import Material
from cai.pipeline import run
from cai.plan import plan
from cai.progress import Reporter
from cai.records import Comparison
from cai.store import RunFolder

SILENT = Reporter(Console(quiet=True))


def compared(runs: Path, *overrides: str) -> list[Comparison]:
    recipe = load_recipe("smoke", ["compare.preflight.limit=0", *overrides])
    steps = run(Material(recipe, runs=runs), RunFolder(runs, recipe.name), SILENT, "compare")
    return list(steps["compare"].folder.records(Comparison))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stages before `compare` are run once for all."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize(
    ("settings", "source", "each"),
    [
        ("{}", "samples", 1),
        ("{samples: 3}", "samples", 3),
        ("{samples: 4, pairs: 2}", "samples", 2),
        ("{type: models, models: [assistant, sft]}", "models", 1),
        ("{type: rounds, rounds: [0, last]}", "rounds", 1),
    ],
)
def test_each_way_to_come_by_pairs(runs: Path, settings: str, source: str, each: int) -> None:
    found = compared(runs, f"compare.answers={settings}")
    assert {one.source for one in found} == {source} and len({one.id for one in found}) == len(found)
    assert len(found) == 8 * each


def test_contrastive_pairs_need_no_judge(runs: Path) -> None:
    found = compared(runs, "compare.answers={type: contrastive, label: construction}")
    assert {one.verdict.p_a for one in found if one.verdict.state == "parsed"} == {1.0}
    assert all(one.verdict.readings == () and len(one.principles) == 1 for one in found)


@pytest.mark.parametrize("mode", ["logprob", "cot", "contrast", "score", "verdict"])
def test_each_mode_of_the_judge(runs: Path, mode: str) -> None:
    found = compared(runs, f"compare.judge={{mode: {mode}}}")
    assert len(found) == 8 and {one.verdict.state for one in found} <= {"parsed", "unparsed", "refused", "skipped"}
    parsed = [one for one in found if one.verdict.p_a is not None]
    assert all(0 <= (one.verdict.p_a or 0) <= 1 for one in parsed)
    if mode == "cot":
        assert all(0.4 <= (one.verdict.p_a or 0) <= 0.6 for one in parsed)


def digest(runs: Path, *overrides: str) -> str:
    recipe = load_recipe("smoke", list(overrides))
    return plan(Material(recipe, runs=runs), RunFolder(runs, recipe.name))["compare"].digest


def test_what_changes_the_address_of_the_comparisons(runs: Path) -> None:
    plain = digest(runs)
    assert digest(runs, "compare.preflight.limit=3") == plain
    assert digest(runs, "compare.judge={mode: logprob}") == plain
    for change in ("compare.judge.layout=principle_last", "compare.judge.principles=2", "compare.answers={samples: 3}"):
        assert digest(runs, change) != plain


def test_an_unknown_model_is_named(runs: Path) -> None:
    with pytest.raises(InputError, match=r"'nobody' is no part of `models`.*expected one of assistant.*sft"):
        digest(runs, "compare.answers={type: models, models: [nobody, sft]}")


def test_best_against_worst_needs_numbers() -> None:
    with pytest.raises(InputError, match="best-worst needs a judge that gives each answer a number"):
        load_recipe("smoke", ["compare.answers.pairs=best-worst"])


def test_people_join_with_their_source(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    rows = "".join(f'{{"prompt": "Q{n}?", "chosen": "Kind {n}.", "rejected": "Rude {n}."}}\n' for n in range(12))
    path.write_text(rows)
    recipe = load_recipe(
        "smoke",
        ["compare.preflight.limit=0", f"preference_model.human=[{{pairs: {path}}}]", "preference_model.held_out=0.3"],
    )
    steps = run(Material(recipe, runs=runs), RunFolder(runs, recipe.name), SILENT, "preference_model")
    summary = steps["preference_model"].folder.summary
    held_out = summary["held_out"]["sources"]
    assert "people.jsonl" in held_out and 0 < held_out["people.jsonl"]["pairs"] < 12
    assert summary["pairs"] + summary["held_out"]["all"]["pairs"] <= 8 + 12


@pytest.mark.slow
def test_a_helpfulness_model_learns_from_people_alone_and_is_in_the_report(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "helpful.jsonl"
    path.write_text("".join(f'{{"prompt": "Q{n}?", "chosen": "Do {n}.", "rejected": "No {n}."}}\n' for n in range(12)))
    recipe = load_recipe("smoke", [f"helpfulness_model={{human: [{{pairs: {path}}}], held_out: 0.3}}"])
    steps = run(Material(recipe, runs=runs), RunFolder(runs, recipe.name), SILENT)
    assert steps["helpfulness_model"].parents == ("sft",)
    summary = steps["helpfulness_model"].folder.summary
    assert summary["held_out"]["sources"].keys() == {"helpful.jsonl"}
    assert summary["pairs"] + summary["held_out"]["all"]["pairs"] == 12
    assert (steps["helpfulness_model"].folder.path / "model" / "model.safetensors").is_file()
    page = (steps["report"].folder.path / "report.html").read_text()
    assert "Helpfulness model</th>" in page and "Helpfulness model: loss" in page


def test_a_helpfulness_model_without_peoples_pairs_is_refused() -> None:
    with pytest.raises(InputError, match=r"helpfulness_model\.human"):
        load_recipe("smoke", ["helpfulness_model={epochs: 2}"])
