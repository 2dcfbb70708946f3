"""Talk to a model in the terminal, or to two side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from cai.config import Sampling, stored_recipe
from cai.engine_config import EngineConfig, TransformersEngine, VllmEngine
from cai.engines.base import Speaker, open_engine
from cai.errors import InputError
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.records import Message
from cai.store import RunFolder
from cai.weights import ALIASES
from cai.yamlfile import Location, YamlFile

Histories = dict[str, tuple[Message, ...]]


@dataclass(frozen=True)
class Found:
    """A model to talk to. `templates`: the run's own, if any."""

    model: ModelConfig
    engine: TransformersEngine = field(default_factory=TransformersEngine)
    templates: Path | None = None


def talk(
    console: Console,
    models: Sequence[str],
    runs: Path,
    max_tokens: int,
    temperature: float,
    dialect: str | None = None,
) -> None:
    """Reads lines until an empty one or end of input, and answers each. `dialect`: none: as each was trained."""
    options: dict[Location, str] = {("max_tokens",): "--max-tokens", ("temperature",): "--temperature"}
    given = {"max_tokens": max_tokens, "temperature": temperature}
    sampling = YamlFile("chat", given, {}, options).check(Sampling)
    found = {name: find_model(name, runs) for name in models}
    speakers = {name: _open(model, dialect) for name, model in found.items()}
    histories: Histories = dict.fromkeys(speakers, ())
    console.print("An empty line ends the conversation.")
    with asyncio.Runner() as runner:
        try:
            while line := _ask(console):
                histories = runner.run(_answer(console, speakers, histories, line, sampling))
        finally:
            for speaker in speakers.values():
                speaker.engine.close()


def find_model(name: str, runs: Path) -> Found:
    """A model by RUN/STAGE, as a run left it and would ask it, or by alias, hub name or folder.

    Raises InputError where a run has no checkpoint of that stage.
    """
    run, _, stage = name.partition("/")
    if name in ALIASES or Path(name).is_dir() or not (runs / run / "run.json").is_file():
        return Found(ModelConfig(model=name))
    folder = RunFolder(runs, run)
    checkpoints = {at: step.path / "model" for at, step in folder.steps.items() if step.done}
    able = [at for at in ("sft", "rl") if (at in checkpoints and checkpoints[at].is_dir())]
    if stage not in able:
        known = ", ".join(f"{run}/{at}" for at in able) or "none yet"
        raise InputError(f"run {run!r} has no model {stage!r} to talk to; it has: {known}")
    recipe = stored_recipe(folder.recipe, run)
    pretrained = recipe.models.pretrained
    model = pretrained.model_copy(update={"model": str(checkpoints[stage])})
    return Found(model, _engine(recipe.engine_of(pretrained)), Path(recipe.templates) if recipe.templates else None)


def _engine(asked: EngineConfig) -> TransformersEngine:
    """Transformers, with what the run's engine has in common with it.

    One reply at a time is no work for vLLM, which takes long to start; no seed comes twice, so no cache is hit.
    """
    if isinstance(asked, TransformersEngine):
        return asked.model_copy(update={"cache": None})
    return TransformersEngine(dtype=asked.dtype) if isinstance(asked, VllmEngine) else TransformersEngine()


def _open(found: Found, dialect: str | None) -> Speaker:
    asked: dict[str, Any] = found.model.model_dump() | ({"dialect": dialect} if dialect else {})
    model = YamlFile("chat", asked, {}, {("dialect",): "--dialect"}).check(ModelConfig)
    return Speaker(open_engine(found.engine, model), Templates(model.dialect, found.templates, model.system))


async def _answer(
    console: Console, speakers: dict[str, Speaker], histories: Histories, line: str, sampling: Sampling
) -> Histories:
    """Prints every model's answer to `line`. Returns the conversations, one a model: each sees its own answers."""
    longer, shown = {}, []
    for name, speaker in speakers.items():
        messages = (*histories[name], Message(role="user", content=line))
        reply = await speaker.reply("respond", sampling, random.getrandbits(60), messages=messages)
        longer[name] = (*messages, Message(role="assistant", content=reply.text))
        shown.append(Panel(Text(_printable(reply.text)), title=Text(name)))
    console.print(Columns(shown, equal=True, expand=True) if len(shown) > 1 else shown[0])
    return longer


def _printable(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def _ask(console: Console) -> str:
    try:
        return console.input("> ").strip()
    except EOFError:
        return ""
