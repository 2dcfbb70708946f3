"""Command on prompts: more like the user's own, written by a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from cai.commands.asked import asked
from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import InputError, Interrupted
from cai.generation.checks import Sieve
from cai.generation.files import PromptFiles, opened
from cai.generation.growth import Growth, Tally
from cai.generation.requests import Requests, Seed, showable
from cai.identity import digest_all, identity_of
from cai.material import Material
from cai.models import ModelConfig
from cai.progress import Reporter
from cai.questions import load_prompts
from cai.records import Kind
from cai.terminal import say
from cai.weights import fingerprint

FORMAT = 1
"""Raised when a new version asks, reads replies or sifts prompts otherwise."""
LIST_TOKENS = 256
"""Longest reply unless `respond.max_tokens` is set here: the recipe's own is meant for an answer, this for a list."""


def generate(
    console: Console,
    kind: str,
    seeds: str,
    to: Path,
    count: int,
    model: str | None,
    recipe: str | None,
    examples: int,
    seed: int,
    overrides: Sequence[str],
) -> None:
    """Brings the file `to` to `count` prompts like the user's own and prints what came of all candidates.

    The part `pretrained` of the recipe writes them, sampled as `respond` says (Bai et al. 2022, section 3.2: a
    pretrained model, few-shot). Raises InputError for seeds, settings or a file that won't do, EngineError where no
    more come, StoreError where the file is in use, Interrupted on Ctrl-C.
    """
    known = _kind(kind)
    material = asked(model, recipe, overrides, **{"respond.max_tokens": LIST_TOKENS})
    writer = material.recipe.models.pretrained.model_copy(update={"system": None})  # it speaks to nobody
    own = [Seed.of(prompt) for prompt in load_prompts(seeds, known).prompts]
    requests = Requests(material.recipe.respond, known, showable(own, examples), examples, seed)
    with opened(to, _settings(requests, own, material, writer)) as files:
        try:
            if files.count < count:
                growth = Growth(files, Sieve(one.text for one in own), examples, count)
                _grow(Reporter(console), growth, requests, material, writer)
        finally:
            _print(console, Tally.of(files.asked()), files)


def _grow(reporter: Reporter, growth: Growth, requests: Requests, material: Material, writer: ModelConfig) -> None:
    """Asks the model, unless what it was asked before is enough."""
    if not growth.missing:
        return
    templates = material.templates(writer)
    with Pool(reporter.loading) as pool:
        (engine,) = pool.engines([(material.recipe.engine_of(writer), writer)])
        try:
            with reporter.step("prompts", growth.count, "prompts", growth.count - growth.missing) as meter:
                pool.run(growth.ask(requests, Speaker(engine, templates), meter))
        except (KeyboardInterrupt, asyncio.CancelledError):
            pool.close()  # at once, so that no batch has to be waited for
            raise Interrupted("stopped; run the same command again to go on") from None


def _settings(requests: Requests, own: Sequence[Seed], material: Material, writer: ModelConfig) -> dict[str, Any]:
    """All that the prompts depend on, how many are wanted aside."""
    return {
        "format": FORMAT,
        "kind": requests.kind,
        "examples": requests.examples,
        "seed": requests.seed,
        "seeds": {"count": len(own), "digest": digest_all(one.id for one in own)[:16]},
        "model": {**identity_of(writer), "engine": None, "weights": fingerprint(writer.model)},
        "engine": identity_of(material.recipe.engine_of(writer)),
        "sampling": identity_of(requests.sampling),
        "template": material.templates(writer).digest("more")[:16],
    }


def _print(console: Console, tally: Tally, files: PromptFiles) -> None:
    for line in tally.lines():
        say(console, line)
    rest = f"; {tally.new - files.count:,} more wait in {files.raw.name}" if tally.new > files.count else ""
    say(console, f"{files.count:,} prompts in {files.path}{rest}")


def _kind(name: str) -> Kind:
    for kind in get_args(Kind):
        if name == kind:
            return kind
    raise InputError(f"no kind of prompts {name!r}; expected {' or '.join(get_args(Kind))}")
