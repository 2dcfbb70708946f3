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

from cai.checkpoints import trained
from cai.contestants import POLICIES
from cai.engine_config import EngineConfig, TransformersEngine, VllmEngine
from cai.engines.base import Speaker, open_engine
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.records import Message
from cai.sampling import Sampling
from cai.terminal import printable
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
    left = None if name in ALIASES else trained(name, runs, POLICIES, "to talk to")
    if left is None or left.recipe is None:
        return Found(ModelConfig(model=name))
    pretrained, templates = left.recipe.models.pretrained, left.recipe.templates
    model = pretrained.model_copy(update={"model": str(left.folder)})
    return Found(model, _engine(left.recipe.engine_of(pretrained)), Path(templates) if templates else None)


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
        shown.append(Panel(Text(printable(reply.text)), title=Text(name)))
    console.print(Columns(shown, equal=True, expand=True) if len(shown) > 1 else shown[0])
    return longer


def _ask(console: Console) -> str:
    try:
        return console.input("> ").strip()
    except EOFError:
        return ""
