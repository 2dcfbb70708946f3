"""Talk to a model in the terminal, or to two side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from cai.config import ModelConfig, Recipe, Sampling, TransformersEngine
from cai.engines.base import Speaker, open_engine
from cai.errors import InputError
from cai.prompts import Templates
from cai.records import Message
from cai.store import RunFolder


def talk(console: Console, models: Sequence[str], runs: Path, max_tokens: int, temperature: float) -> None:
    """Reads lines until an empty one or end of input, and answers each."""
    sampling = Sampling(max_tokens=max_tokens, temperature=temperature)
    speakers = {name: _open(name, runs) for name in models}
    console.print("An empty line ends the conversation.")
    try:
        asyncio.run(_converse(console, speakers, sampling))
    finally:
        for speaker in speakers.values():
            speaker.engine.close()


def find_model(name: str, runs: Path) -> ModelConfig:
    """A model by RUN/STAGE, as a run left it, or by alias, hub name or folder.

    Raises InputError where a run has no checkpoint of that stage.
    """
    run, _, stage = name.partition("/")
    if not stage or Path(name).is_dir() or not (runs / run / "run.json").is_file():
        return ModelConfig(model=name)
    folder = RunFolder(runs, run)
    checkpoints = {at: step.path / "model" for at, step in folder.steps.items() if step.done}
    able = [at for at in ("sft", "rl") if (at in checkpoints and checkpoints[at].is_dir())]
    if stage not in able:
        raise InputError(f"run {run!r} has no model {stage!r} to talk to; it has: {', '.join(able) or 'none yet'}")
    dialect = Recipe.model_validate(folder.recipe).models.pretrained.dialect
    return ModelConfig(model=str(checkpoints[stage]), dialect=dialect)


def _open(name: str, runs: Path) -> Speaker:
    model = find_model(name, runs)
    return Speaker(open_engine(TransformersEngine(), model), Templates(model.dialect))


async def _converse(console: Console, speakers: dict[str, Speaker], sampling: Sampling) -> None:
    """One conversation a model: each sees its own answers."""
    histories: dict[str, tuple[Message, ...]] = dict.fromkeys(speakers, ())
    while line := await asyncio.to_thread(_ask, console):
        asked = Message(role="user", content=line)
        shown = []
        for name, speaker in speakers.items():
            messages = (*histories[name], asked)
            reply = await speaker.reply("respond", sampling, random.getrandbits(60), messages=messages)
            histories[name] = (*messages, Message(role="assistant", content=reply.text))
            shown.append(Panel(Text(_printable(reply.text)), title=Text(name)))
        console.print(Columns(shown, equal=True, expand=True) if len(shown) > 1 else shown[0])


def _printable(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _ask(console: Console) -> str:
    try:
        return console.input("> ").strip()
    except EOFError:
        return ""
