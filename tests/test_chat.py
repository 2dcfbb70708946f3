"""Talking to models: which one a name means, one conversation a model, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.chat import Found, find_model, talk
from cai.config import load_recipe
from cai.engine_config import EngineConfig, TransformersEngine
from cai.engines.base import Request
from cai.errors import InputError
from cai.models import ModelConfig
from cai.records import Completion
from cai.store import RunFolder, StepFolder
from cai.weights import TINY

WAITING = """
import fcntl, signal, sys, termios
import cai.chat
from cai.cli import main

class Silent:
    concurrency = 1
    def close(self):
        print("closed", flush=True)

cai.chat.open_engine = lambda config, model: Silent()
fcntl.ioctl(sys.stdin, termios.TIOCSCTTY, 0)
# As a terminal starts it: what runs in the background of a script, as in CI, may inherit Ctrl-C as ignored or blocked.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
sys.argv = ["cai", "chat", "tiny-random"]
main()
"""
"""A conversation on a terminal of its own."""


class Parrot:
    """Says its name, how many turns it has seen, and `says`."""

    concurrency = 1

    def __init__(self, name: str, says: str = "") -> None:
        self.name, self.says, self.closed = name, says, False
        self.asked: list[Request] = []

    async def generate(self, request: Request) -> Completion:
        self.asked.append(request)
        text = f"{self.name} saw {len(request.prompt.messages)}. {self.says}"
        return Completion(text=text, raw=text, finish="stop", prompt_tokens=1, tokens=1, seed=request.seed)

    async def score(self, prompt: object, labels: Sequence[str]) -> list[float]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def parrots(monkeypatch: pytest.MonkeyPatch) -> dict[str, Parrot]:
    """The engines that were opened, by model."""
    opened: dict[str, Parrot] = {}

    def open_parrot(config: EngineConfig, model: ModelConfig) -> Parrot:
        return opened.setdefault(model.model, Parrot(model.model, says="\x1b]0;owned\x07 [bold]b\u202e\rend"))

    monkeypatch.setattr("cai.chat.open_engine", open_parrot)
    return opened


def said(monkeypatch: pytest.MonkeyPatch, typed: str, *models: str, runs: Path = Path("runs"), **settings: Any) -> str:
    """What stands on the console after a conversation."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    console = Console(file=io.StringIO(), width=100)
    talk(console, models, runs, **{"max_tokens": 8, "temperature": 0.5, **settings})
    return console.file.getvalue()  # type: ignore[attr-defined]


def store(runs: Path, *stages: str, models: tuple[str, ...] = ("sft", "rl"), overrides: Sequence[str] = ()) -> None:
    """A run `mine` whose `stages` are done; those of `models` have left one."""
    folder = RunFolder(runs, "mine")
    steps = {stage: folder.step(stage, f"{stage}0123456789") for stage in ("respond", "sft", "preference_model", "rl")}
    folder.remember(load_recipe("smoke", list(overrides)).model_dump(), steps)
    for stage, step in steps.items():
        step.begin({})
        if stage in models:
            (step.path / "model").mkdir()
        if stage in stages:
            step.finish({"seconds": 1})


# Which model a name means.


@pytest.mark.parametrize("name", [TINY, "smollm2-135m", "owner/name", "./folder"])
def test_any_other_name_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    store(tmp_path, "sft")
    assert find_model(name, tmp_path) == Found(ModelConfig(model=name))


def test_a_folder_comes_before_a_run_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store(tmp_path, "sft")
    (tmp_path / "mine" / "sft").mkdir()
    assert find_model("mine/sft", tmp_path) == Found(ModelConfig(model="mine/sft"))


def test_a_stage_of_a_run_is_its_checkpoint_in_the_dialect_it_was_trained_in(tmp_path: Path) -> None:
    overrides = ["models.pretrained={use: assistant, dialect: transcript}", "templates=own"]
    store(tmp_path, "sft", "rl", overrides=overrides)
    found = find_model("mine/rl", tmp_path)
    assert found.model.dialect == "transcript"
    assert StepFolder(Path(found.model.model).parent).done
    assert Path(found.model.model).parent.name.startswith("rl-")
    assert found.templates == Path("own")


@pytest.mark.parametrize(
    ("engine", "used"),
    [
        ("{type: transformers, dtype: bfloat16, device: cpu, cache: c}", {"dtype": "bfloat16", "device": "cpu"}),
        ("{type: vllm, dtype: float16, quantization: fp8}", {"dtype": "float16"}),
        ("{type: scripted}", {}),
    ],
)
@pytest.mark.parametrize("at", ["engine", "models.pretrained"])
def test_a_model_of_a_run_is_opened_as_the_run_opens_it_as_far_as_a_talk_needs(
    tmp_path: Path, engine: str, used: dict[str, str], at: str
) -> None:
    override = f"engine={engine}" if at == "engine" else f"models.pretrained={{use: assistant, engine: {engine}}}"
    store(tmp_path, "sft", overrides=[override])
    assert find_model("mine/sft", tmp_path).engine == TransformersEngine.model_validate(
        {"type": "transformers", **used}
    )


def test_a_dialect_that_is_asked_for_comes_before_that_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parrots: dict[str, Parrot]
) -> None:
    store(tmp_path, "sft", overrides=["models.pretrained={use: assistant, dialect: transcript}"])
    for dialect, spoken in (("chat", "chat"), ("transcript", "transcript"), (None, "transcript")):
        parrots.clear()
        said(monkeypatch, "hi\n", "mine/sft", runs=tmp_path, dialect=dialect)
        (parrot,) = parrots.values()
        assert ("Human: hi" in parrot.asked[0].prompt.text) == (spoken == "transcript")


@pytest.mark.parametrize(
    ("name", "done", "told"),
    [
        ("mine/rl", ("sft",), "run 'mine' has no model 'rl' to talk to; it has: mine/sft"),
        ("mine/sft", (), "run 'mine' has no model 'sft' to talk to; it has: none yet"),
        ("mine/respond", ("respond", "sft", "rl"), "no model 'respond' to talk to; it has: mine/sft, mine/rl"),
        ("mine/preference_model", ("preference_model",), "no model 'preference_model' to talk to; it has: none yet"),
        ("mine", ("sft",), "run 'mine' has no model '' to talk to; it has: mine/sft"),
    ],
)
def test_a_stage_without_a_model_is_met_by_those_that_have_one(
    tmp_path: Path, name: str, done: tuple[str, ...], told: str
) -> None:
    store(tmp_path, *done)
    with pytest.raises(InputError) as caught:
        find_model(name, tmp_path)
    assert told in str(caught.value)


def test_a_finished_stage_whose_model_was_deleted_is_not_offered(tmp_path: Path) -> None:
    store(tmp_path, "sft", "rl", models=("rl",))
    with pytest.raises(InputError, match=r"it has: mine/rl$"):
        find_model("mine/sft", tmp_path)


# The conversation.


def test_each_model_answers_every_line_and_sees_its_own_answers(
    monkeypatch: pytest.MonkeyPatch, parrots: dict[str, Parrot]
) -> None:
    shown = said(monkeypatch, "hi\nagain\n\nnot read\n", "a", "b")
    assert [len(request.prompt.messages) for request in parrots["a"].asked] == [1, 3]
    second = [message.content for message in parrots["b"].asked[1].prompt.messages]
    assert (second[0], second[2]) == ("hi", "again")
    assert second[1].startswith("b saw 1.")
    assert any("a saw 3." in line and "b saw 3." in line for line in shown.splitlines())


def test_the_end_of_input_ends_the_conversation_and_closes_the_engines(
    monkeypatch: pytest.MonkeyPatch, parrots: dict[str, Parrot]
) -> None:
    said(monkeypatch, "hi", "a", "b")
    assert len(parrots["a"].asked) == 1
    assert parrots["a"].closed
    assert parrots["b"].closed


def test_a_terminal_is_not_ruled_by_what_a_model_says(
    monkeypatch: pytest.MonkeyPatch, parrots: dict[str, Parrot]
) -> None:
    shown = said(monkeypatch, "hi\n", "a")
    assert parrots["a"].asked
    assert {char for char in shown if not char.isprintable()} == {"\n"}
    assert "[bold]b" in shown
    assert "]0;owned" in shown


def test_settings_reach_the_engine(monkeypatch: pytest.MonkeyPatch, parrots: dict[str, Parrot]) -> None:
    said(monkeypatch, "hi\n", "a", max_tokens=5, temperature=0.0)
    assert (parrots["a"].asked[0].max_tokens, parrots["a"].asked[0].temperature) == (5, 0.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"max_tokens": 0}, "--max-tokens: max_tokens: input should be greater than or equal to 1 (found 0)"),
        ({"temperature": -1.0}, "--temperature: temperature: input should be greater than or equal to 0"),
        ({"dialect": "latin"}, "--dialect: dialect: input should be 'chat' or 'transcript' (found 'latin')"),
        ({"temperature": float("nan")}, "--temperature: temperature: input should be a finite number"),
    ],
)
def test_a_setting_out_of_range_is_an_error_before_any_model_is_opened(
    monkeypatch: pytest.MonkeyPatch, parrots: dict[str, Parrot], settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError) as caught:
        said(monkeypatch, "hi\n", "a", **settings)
    assert told in str(caught.value)
    assert parrots == {}


def test_ctrl_c_at_the_prompt_ends_it_at_once() -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", WAITING]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        try:
            shown = wait_for(ours, b"> ")
            shown += interrupted(process, ours, b"closed")
            assert process.wait(timeout=60) == 130, shown
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)
    assert b"Traceback" not in shown


def interrupted(process: subprocess.Popen[bytes], terminal: int, text: bytes) -> bytes:
    """What the terminal shows after Ctrl-C, until `text` stands there.

    One that comes after the prompt is written and before the process reads is taken with the next key: it comes again.
    """
    shown = b""
    for _ in range(60):
        process.send_signal(signal.SIGINT)
        shown += read_until(terminal, text, 3)
        if text in shown:
            return shown
    raise AssertionError(shown)


def wait_for(terminal: int, text: bytes) -> bytes:
    """What the terminal shows until `text` stands there. Libraries read from a cold disk take most of a minute."""
    shown = read_until(terminal, text, 180)
    assert text in shown, shown
    return shown


def read_until(terminal: int, text: bytes, seconds: float) -> bytes:
    shown, deadline = b"", time.monotonic() + seconds
    while text not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
    return shown
