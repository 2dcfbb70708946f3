"""Comparisons that people labelled, as pairs to learn from and beside the judge; both from a run to its training."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cai.cli import app
from cai.commands.labels import sample
from cai.config import load_recipe
from cai.errors import InputError
from cai.human import load_pairs
from cai.judge_figures import figures
from cai.labelled_pairs import judged, pairs, votes
from cai.labels import HumanLabel, add, seated_first
from cai.material import Material
from cai.pipeline import run
from cai.plan import Step
from cai.progress import Reporter
from cai.records import Comparison, Completion, Message, Prompt, Verdict
from cai.reliability import fit_smoothing, fit_temperature
from cai.store import RunFolder


def comparison(name: str, p_a: float | None = 0.8, a: str = "Answer a.", b: str = "Answer b, longer.") -> Comparison:
    asked = Prompt.of((Message(role="user", content=name),), "harmful", "test")
    said = [Completion(text=one, raw=one, finish="stop", prompt_tokens=1, tokens=1, seed=0) for one in (a, b)]
    verdict = Verdict(state="unparsed" if p_a is None else "parsed", p_a=p_a)
    return Comparison(id=f"{asked.id}/0-1", prompt=asked, principles=("x",), a=said[0], b=said[1], verdict=verdict)


FOUND = [comparison(f"Question {n}?", p) for n, p in enumerate((0.9, 0.2, 0.7, None, 0.6))]
SAID = {"ana": "abtas", "ben": "bb aa", "cyn": "asta "}
"""Of each comparison in turn; `t` is a tie, `s` a skip, a space nothing."""


def labels() -> dict[str, dict[str, HumanLabel]]:
    words: dict[str, Any] = {"a": "a", "b": "b", "t": "tie", "s": "skip"}
    return {
        who: {
            one.id: HumanLabel.of(one.id, who, words[letter])
            for one, letter in zip(FOUND, said, strict=True)
            if letter != " "
        }
        for who, said in SAID.items()
    }


def test_every_vote_counts_once_and_a_skip_not_at_all() -> None:
    found = votes(labels())
    assert [sorted(found[one.id]) for one in FOUND] == [[0, 1, 1], [0, 0], [0.5, 0.5], [1, 1, 1], [1]]
    assert votes({"ana": {"1": HumanLabel.of("1", "ana", "skip")}}) == {}


def test_the_judge_is_measured_on_what_most_people_preferred() -> None:
    found = list(judged(FOUND, votes(labels())))
    assert [(one.item, one.better) for one in found] == [
        (FOUND[0].id, "a"),
        (FOUND[1].id, "b"),
        (FOUND[3].id, "a"),
        (FOUND[4].id, "a"),
    ], "the third is a tie"
    told = figures(found, resamples=20)
    assert told.states == {"parsed": 3, "unparsed": 1}
    assert told.accuracy and (told.accuracy.value, told.accuracy.n) == (1.0, 3)
    assert told.baselines["longer"].value == pytest.approx(1 / 3)


def test_pairs_are_read_as_they_were_labelled(tmp_path: Path) -> None:
    rows = list(pairs(FOUND, votes(labels()), "made"))
    path = tmp_path / "people.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = load_pairs(str(path), "harmful")
    assert found.left_out == {} and found.turned == 0
    assert [one.prompt.id for one in found.pairs] == [one.prompt.id for one in FOUND]
    assert [one.p for one in found.pairs] == [pytest.approx(2 / 3), 1.0, 0.5, 1.0, 1.0]
    assert [one.chosen for one in found.pairs] == [FOUND[place].a.text if place != 1 else FOUND[1].b.text
                                                   for place in range(5)]  # fmt: skip
    assert {one.source for one in found.pairs} == {"people.jsonl"}
    assert (rows[0]["people"], rows[0]["comparison"], rows[0]["run"]) == (3, FOUND[0].id, "made")
    assert "ana" not in path.read_text(), "names of people stay with the run"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Step], list[HumanLabel]]]:
    """The smoke run up to its comparisons, and ten of them labelled."""
    root = tmp_path_factory.mktemp("runs")
    steps = made(root, "smoke", until="compare")
    drawn = sample(steps["compare"].folder, 10)
    draw = random.Random(3)
    said = [
        HumanLabel.of(one.id, "ana", draw.choice(("a", "b")), first=seated_first(one.id, "ana")) for one in drawn[:9]
    ]
    said.append(HumanLabel.of(drawn[9].id, "ana", "tie"))
    assert add(RunFolder(root, "smoke"), said) == 10
    yield root, steps, said


def made(root: Path, name: str, *overrides: str, until: str | None = None) -> dict[str, Step]:
    recipe = load_recipe("smoke", [f"name={name}", "compare.answers={samples: 3}", *overrides])
    return run(Material(recipe), RunFolder(root, name), Reporter(Console(quiet=True)), until)


def called(*words: str, root: Path) -> str:
    result = CliRunner().invoke(app, [*words, "--runs", str(root)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.mark.slow
def test_ten_labels_measure_and_calibrate_the_judge(
    finished: tuple[Path, dict[str, Step], list[HumanLabel]], tmp_path: Path
) -> None:
    root, steps, said = finished
    told = called("labels", "judge", "smoke", str(tmp_path / "judge.json"), root=root)
    assert "the judge of smoke, on what people labelled" in told and "1 pairs of which as many" in told
    stored = {one.id: one.verdict for one in steps["compare"].folder.records(Comparison)}
    sure = [(stored[one.comparison], one.choice == "a") for one in said if one.choice in ("a", "b")]
    read = [(v.p_raw, a) for v, a in sure if v.p_raw is not None]
    found = json.loads((tmp_path / "judge.json").read_text())
    assert found["n"] == len(read) > 0
    assert found["temperature"] == pytest.approx(fit_temperature(*map(list, zip(*sorted(read), strict=True))))  # type: ignore[arg-type]
    assert found["smoothing"] == pytest.approx(fit_smoothing(*map(list, zip(*sorted(read), strict=True))), abs=1e-9)  # type: ignore[arg-type]
    settled = load_recipe("smoke", [f"compare.judge.calibration={{temperature: {found['temperature']:.2f}}}"])
    assert settled.compare.judge.calibration.temperature == round(found["temperature"], 2)
    with pytest.raises(InputError, match="is there already"):
        called("labels", "judge", "smoke", str(tmp_path / "judge.json"), root=root)


@pytest.mark.slow
def test_ten_labels_join_training_and_measure_another_judge(
    finished: tuple[Path, dict[str, Step], list[HumanLabel]], tmp_path: Path
) -> None:
    root, _, _ = finished
    file = tmp_path / "people.jsonl"
    assert "10 pairs" in called("labels", "export", "smoke", str(file), "--to", "pairs", root=root)
    result = CliRunner().invoke(app, ["judge", str(file), "--recipe", "smoke", "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["asked"] == 9, "a tie has no better answer"
    human = f"preference_model.human=[{{pairs: {file}, kind: harmful}}]"
    steps = made(root, "smoke", human, "preference_model.held_out=0.3", until="preference_model")
    summary = steps["preference_model"].folder.summary
    held_out = summary["held_out"]["sources"]
    assert "people.jsonl" in held_out, "people's pairs are told apart from the judge's"
    parsed = sum(one.verdict.p_a is not None for one in steps["compare"].folder.records(Comparison))
    left = sum(count for reasons in summary["left_out"].values() for count in reasons.values())
    kept_out = sum(one["pairs"] for one in held_out.values())
    assert summary["pairs"] + kept_out + left == parsed + 10
