"""A stage of the paper on scripted replies, as replicas are sent it."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cai.config import load_recipe
from cai.constitution import Constitution
from cai.engine_config import ScriptedEngine
from cai.engines.base import Engine, Speaker
from cai.engines.pool import Pool
from cai.errors import ItemFailed
from cai.executors import local
from cai.executors.deferred import deferred
from cai.executors.replica import Task
from cai.executors.shards import Chunk, Shards
from cai.material import Material
from cai.models import ModelConfig
from cai.prompts import Templates
from cai.records import Message, Prompt, Revision
from cai.stages.revise import Revise

MATERIAL = Material(load_recipe("smoke", ["revise.rounds=2"]))
WANTED = [(ScriptedEngine(), ModelConfig(model="tiny-random"))]


def prompts(count: int) -> list[Prompt]:
    return [Prompt.of((Message(role="user", content=f"Question {n}\u2028?"),), "harmful", "test") for n in range(count)]


def of_prompt(record: Revision) -> str:
    return record.prompt.id


def rules() -> Constitution:
    return MATERIAL.constitution


def revise(engine: Engine) -> Revise:
    return Revise(Speaker(engine, Templates("chat")), rules(), MATERIAL.revision_examples, MATERIAL.recipe.revise, 3)


def task(folder: Path | str, in_flight: int = 3, engine: Engine | None = None) -> Task:
    """The stage over an engine that its process opens."""
    with Pool(print) as pool:
        (named,) = [engine] if engine else deferred(WANTED, 0, pool)
    return Task(revise(named), Shards(str(folder)), Prompt, Revision, of_prompt, in_flight)


def laid_out(sent: Task, items: list[Prompt], done: dict[str, list[Revision]], size: int) -> list[Chunk]:
    lines = [[one.model_dump_json() for one in (item, *done.get(item.id, ()))] for item in items]
    return sent.shards.lay_out(lines, size)


def made_here(items: list[Prompt]) -> dict[str, Revision]:
    """What the local executor makes of these prompts, by id."""
    found: list[Revision] = []

    def never(item: object, error: ItemFailed) -> None:
        raise error

    with Pool(print) as pool:
        (engine,) = pool.engines(WANTED)
        work = local.run(items, revise(engine), {}, lambda one: one.id, found.append, lambda new: None, never, 4)  # pyright: ignore
        pool.run(work)
    return {one.id: one for one in found}


def read(sent: Task, names: list[str]) -> list[Revision]:
    return [Revision.model_validate_json(line) for name in names for line in sent.shards.lines(name)]


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """No file of this process can grow beyond so many bytes: a write is cut there, and the next one fails."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
