"""judge, score and show RUN compare ITEM, as a user types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cai.cli import app
from cai.errors import InputError
from cai.records import Comparison
from cai.store import RunFolder

PAIRS = [
    {"prompt": f"Question {n}?", "chosen": f"Kind answer {n}.", "rejected": f"Rude words {n}, at length."}
    for n in range(6)
]
SCRIPTED = ["--recipe", "smoke"]


def cai(*args: str) -> str:
    result = CliRunner().invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*PAIRS, {**PAIRS[0], "rejected": PAIRS[0]["chosen"]}]))
    return str(path)


def judged(*args: str) -> dict[str, Any]:
    return json.loads(cai("judge", *args, *SCRIPTED, "--json"))


def test_json_has_what_scripts_need(pairs: str) -> None:
    told = judged(pairs)
    assert told["n"] == 6 and told["left_out"] == {"identical": 1}
    assert told["judge"] == "tiny-random, logprob" and told["settings"]["mode"] == "logprob"
    assert 0 <= told["accuracy"] <= 1 and told["interval"][0] <= told["accuracy"] <= told["interval"][1]
    assert told["chance"] in ("no better than chance", "better than chance", "worse than chance")
    assert told["baselines"]["shorter"]["accuracy"] == 1.0
    assert {"position_bias", "calibration_error", "unparsed", "by_category", "temperature"} <= told.keys()


def test_of_a_file_that_is_not_there_the_shipped_pairs_are_named() -> None:
    with pytest.raises(InputError, match=r"nothing of that name ships in prompts/.*shipped: .*pairs/rated\.jsonl"):
        cai("judge", "none.jsonl", *SCRIPTED)


def test_two_modes_are_measured_on_the_same_pairs_with_their_agreement(pairs: str) -> None:
    told = judged(pairs, "--mode", "logprob", "--mode", "verdict", "--limit", "4")
    assert [one["settings"]["mode"] for one in told["judges"]] == ["logprob", "verdict"]
    assert all(one["asked"] == 4 for one in told["judges"])
    assert told["agreement"][0]["judges"] == ["tiny-random, logprob", "tiny-random, verdict"]


def test_verdicts_are_written_and_the_same_again(pairs: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    for file in files:
        judged(pairs, "--to", str(file))
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert len(rows) == 6 and files[0].read_text() == files[1].read_text()
    assert {row["pair"]["better"] for row in rows} == {"a", "b"}
    for row in rows:
        assert row["pair"][row["pair"]["better"]].startswith("Kind")


def test_a_principle_can_be_named(pairs: str, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    judged(pairs, "--principle", "not-preachy", "--to", str(file))
    assert {tuple(json.loads(line)["principles"]) for line in file.read_text().splitlines()} == {("not-preachy",)}


def test_tables_say_it_in_words(pairs: str) -> None:
    shown = cai("judge", pairs, *SCRIPTED)
    assert "accuracy" in shown and "baseline: longer" in shown and "position bias" in shown
    assert "chance on these pairs" in shown and "left out: 1 identical" in shown


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--mode", "guess"], "mode"),
        (["--principle", "nobody"], "no principle 'nobody'"),
        (["--principle", "gender-bias"], "has no words for the mode 'logprob'"),
        (["--kind", "other"], "expected one of harmful, helpful"),
    ],
)
def test_mistakes_are_named(pairs: str, args: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        cai("judge", pairs, *SCRIPTED, *args)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    cai("run", "smoke", "name=s", "--runs", str(runs), "--until", "preference_model")
    return runs


def first(runs: Path) -> Comparison:
    return next(iter(RunFolder(runs, "s").steps["compare"].records(Comparison)))


def test_a_comparison_is_shown_with_its_prompts_and_its_label(run: Path) -> None:
    one = first(run)
    shown = cai("show", "s", "compare", one.id, "--runs", str(run))
    assert one.a.text in shown and one.b.text in shown and shown.count("as the judge was shown it") == 2
    for reading in one.verdict.readings:
        assert all(f"log p({label!r}) = {value:.4f} nats" in shown for label, value in reading.logprobs.items())
        assert f"answer {reading.first} shown as (A)" in shown
    assert f"label P(a is better) = {one.verdict.p_a:.4f}" in shown
    assert "have changed since" not in shown


def test_comparisons_are_listed_and_an_unknown_one_is_named(run: Path) -> None:
    one = first(run)
    assert one.id in cai("show", "s", "compare", "--runs", str(run))
    with pytest.raises(InputError, match=f"no comparison 'nothing'.*one of its ids is {one.id}"):
        cai("show", "s", "compare", "nothing", "--runs", str(run))
    with pytest.raises(InputError, match="only `compare`"):
        cai("show", "s", "revise", "x", "--runs", str(run))


def test_the_preflight_is_asked_once_and_kept(run: Path) -> None:
    summary = RunFolder(run, "s").steps["compare"].summary
    assert summary["preflight"]["asked"] > 0 and summary["preflight"]["chance"]


def test_answers_and_pairs_are_scored(run: Path, pairs: str, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    answers.write_text(
        '{"prompt": "Hi", "answer": "Hello."}\n{"messages": [{"role": "user", "content": "Hi"}, {"role": '
        '"assistant", "content": "Hello."}]}\n'
    )
    lines = [
        json.loads(line)
        for line in cai("score", "s/preference_model", str(answers), "--runs", str(run), "--json").splitlines()
    ]
    assert lines[0]["score"] == pytest.approx(lines[1]["score"], abs=1e-5) and lines[0]["prompt"] == "Hi"
    out = tmp_path / "scored.jsonl"
    said = cai("score", "s/preference_model", pairs, "--runs", str(run), "--to", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 7 and {"score_chosen", "score_rejected"} <= rows[0].keys()
    wins = sum(
        (row["score_chosen"] > row["score_rejected"]) + (row["score_chosen"] == row["score_rejected"]) / 2
        for row in rows
    )
    assert f"7 pairs: share whose chosen answer scores higher {wins / 7:.2f}" in said


def test_rows_without_an_answer_are_named(run: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"prompt": "Hi"}\n')
    with pytest.raises(InputError, match=r"empty.jsonl:1: has no answer; expected .* found prompt"):
        cai("score", "s/preference_model", str(empty), "--runs", str(run))
