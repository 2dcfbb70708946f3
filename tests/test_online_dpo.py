"""DPO in rounds: each samples from the model that the last one left, and none that is done is done again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import cai.trainers.dpo
from cai.config import load_recipe
from cai.engines.scripted import ScriptedBackend
from cai.errors import InputError, StoreError
from cai.job import Job
from cai.material import Material
from cai.pipeline import run
from cai.plan import Step
from cai.progress import Reporter
from cai.records import Comparison
from cai.store import RunFolder, StepFolder

SMALL = ("compare.preflight.limit=0", "dpo={rounds: 3, batch_size: 4, micro_batch: 4, learning_rate: 1e-2}")


def finished(runs: Path, *overrides: str) -> dict[str, Step]:
    recipe = load_recipe("smoke", [*SMALL, *overrides])
    return run(Material(recipe, runs=runs), RunFolder(runs, recipe.name), Reporter(Console(quiet=True)), "dpo")


def of_round(step: Step, number: int) -> StepFolder:
    return StepFolder(step.folder.path / "rounds" / str(number))


def pairs(step: Step, number: int) -> list[Comparison]:
    return sorted(of_round(step, number).records(Comparison), key=lambda one: one.id)


def weights(step: Step) -> bytes:
    return (step.folder.path / "model" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stages before `dpo` are run once for all, and `dpo` without a stop."""
    place = tmp_path_factory.mktemp("runs")
    finished(place)
    return place


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """What each training began from and was held to, by the last three parts of the folders, and its own folder."""
    calls, inner = [], cai.trainers.dpo.train_dpo

    def spying(groups: Any, start: str, folder: Path, config: Any, seed: int, watch: Any, reference: Any = None) -> Any:
        short = [one and "/".join(Path(one).parts[-3:]) for one in (start, reference)]
        calls.append((folder.name, *short))
        return inner(groups, start, folder, config, seed, watch, reference)

    monkeypatch.setattr(cai.trainers.dpo, "train_dpo", spying)
    return calls


@pytest.mark.slow
def test_later_rounds_learn_pairs_of_their_own_and_all_are_told_of(runs: Path) -> None:
    steps = finished(runs)
    dpo, first = steps["dpo"], list(steps["compare"].folder.records(Comparison))
    told = dpo.folder.summary
    assert [one["round"] for one in told["rounds"]] == [1, 2, 3]
    for name in ("steps", "tokens", "pairs"):
        assert told[name] == sum(one[name] for one in told["rounds"]) > 0
    assert told["loss"] == told["rounds"][2]["loss"]
    assert not of_round(dpo, 1).path.joinpath("items.jsonl").exists()
    second, third = pairs(dpo, 2), pairs(dpo, 3)
    assert len(second) == len(third) == len(first) == 8 and [one.id for one in second] == [one.id for one in third]
    seeds = [{one.a.seed for one in found} for found in (first, second, third)]
    assert len(set.union(*seeds)) == 24, "no round asks with another's seeds"
    assert told["rounds"][1]["asked"]["items"] == 8 and told["rounds"][0]["asked"] == {}
    rows = [row["step"] for row in dpo.folder.metrics() if "loss" in row]
    assert rows == list(range(1, told["steps"] + 1)), "one curve over all rounds"
    assert (dpo.folder.path / "model" / "config.json").is_file()
    assert not list((dpo.folder.path / "rounds").glob("*/model"))


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["start", "last"])
def test_each_round_goes_on_from_the_last_one_s_model_and_is_held_to_the_reference(
    runs: Path, trained: list[Any], monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    asked: list[list[str]] = []
    speakers = Job.speakers

    def spying(job: Job, *models: Any, beside: int = 0) -> Any:
        asked.append(["/".join(Path(model.model).parts[-3:]) for model in models])
        return speakers(job, *models, beside=beside)

    monkeypatch.setattr(Job, "speakers", spying)
    steps = finished(runs, f"dpo.reference={reference}", "dpo.beta=0.2")
    sft = f"smoke/{steps['sft'].folder.path.name}/model"
    held = sft if reference == "start" else None
    assert trained == [("1", sft, None), ("2", "rounds/1/model", held), ("3", "rounds/2/model", held)]
    assert [models[0] for models in asked] == ["rounds/1/model", "rounds/2/model"]


@pytest.mark.slow
def test_one_round_is_plain_dpo(runs: Path, trained: list[Any]) -> None:
    steps = finished(runs, "dpo.rounds=1")
    sft = f"smoke/{steps['sft'].folder.path.name}/model"
    assert trained == [(steps["dpo"].folder.path.name, sft, None)]
    assert "rounds" not in steps["dpo"].folder.summary and not (steps["dpo"].folder.path / "rounds").exists()


def forget(runs: Path, to: Path) -> Step:
    """The run without its stage `dpo`, in another folder."""
    shutil.copytree(runs, to, dirs_exist_ok=True)
    for folder in to.glob("smoke/dpo-*"):
        shutil.rmtree(folder)
    return finished(runs)["dpo"]


def stopping(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int, is_async: bool = False) -> None:
    """The disk is full after so many calls."""
    inner: Callable[..., Any] = getattr(owner, name)
    left = [calls]

    def counted() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoreError("the disk is full")

    async def later(*given: Any, **named: Any) -> Any:
        counted()
        return await inner(*given, **named)

    def now(*given: Any, **named: Any) -> Any:
        counted()
        return inner(*given, **named)

    monkeypatch.setattr(owner, name, later if is_async else now)


@pytest.mark.slow
def test_killed_among_its_pairs_a_round_asks_for_the_others_alone(
    runs: Path, tmp_path: Path, trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = forget(runs, tmp_path)
    with monkeypatch.context() as patch:
        stopping(patch, StepFolder, "append", 3)
        with pytest.raises(StoreError, match="the disk is full"):
            finished(tmp_path)
    (place,) = tmp_path.glob("smoke/dpo-*/rounds/2/items.jsonl")
    kept = place.read_text().splitlines()
    assert len(kept) == 3 and [call[0] for call in trained] == ["1"]
    again = finished(tmp_path)["dpo"]
    assert place.read_text().splitlines()[:3] == kept
    assert [call[0] for call in trained] == ["1", "2", "3"], "the first round is not done again"
    assert [pairs(again, n) for n in (2, 3)] == [pairs(whole, n) for n in (2, 3)]
    assert weights(again) == weights(whole)


@pytest.mark.slow
def test_killed_in_training_a_round_samples_nothing_again(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = forget(runs, tmp_path)
    with monkeypatch.context() as patch:
        stopping(patch, cai.trainers.dpo, "train_dpo", 2)
        with pytest.raises(StoreError, match="the disk is full"):
            finished(tmp_path)
    assert sorted(path.parent.name for path in tmp_path.glob("smoke/dpo-*/rounds/*/DONE")) == ["1", "2"]
    with monkeypatch.context() as patch:
        stopping(patch, ScriptedBackend, "generate", 0, is_async=True)
        again = finished(tmp_path)["dpo"]
    assert weights(again) == weights(whole) and again.folder.summary["pairs"] == whole.folder.summary["pairs"]


@pytest.mark.slow
def test_killed_once_the_model_is_there_nothing_is_trained(runs: Path, tmp_path: Path, trained: list[Any]) -> None:
    whole = finished(runs)["dpo"]
    shutil.copytree(runs, tmp_path, dirs_exist_ok=True)
    (done,) = [path for path in tmp_path.glob("smoke/dpo-*/DONE") if path.parent.name == whole.folder.path.name]
    before = json.loads(done.read_text())
    done.unlink()
    again = finished(tmp_path)["dpo"]
    assert trained == [] and weights(again) == weights(whole)
    timed: dict[str, Any] = {"seconds": 0, "files": None, "checksum": None}
    assert {**again.folder.summary, **timed} == {**before, **timed}


@pytest.mark.parametrize("answers", ["{type: rounds}", "{type: models, models: [assistant, helpful]}"])
def test_pairs_that_the_model_has_no_part_in_cannot_be_sampled_anew(tmp_path: Path, answers: str) -> None:
    base = "name: a\nmodels: {assistant: tiny-random}\nengine: {type: scripted}\n"
    text = f"{base}compare: {{answers: {answers}}}\n"
    (tmp_path / "r.yaml").write_text(text + "dpo:\n  rounds: 2\n")
    with pytest.raises(InputError, match=r"r\.yaml:5: dpo: rounds 2 need pairs of the model that is trained"):
        load_recipe(str(tmp_path / "r.yaml"))
    (tmp_path / "r.yaml").write_text(text + "dpo: {rounds: 1}\n")
    assert load_recipe(str(tmp_path / "r.yaml")).dpo
