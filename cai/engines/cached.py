"""Replies kept in a file: what was asked once is not asked again, in this run, the next or one beside it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cai.engine_config import EngineConfig
from cai.engines.base import Engine, Request
from cai.errors import EngineError
from cai.identity import digest, identity_of
from cai.models import ModelConfig
from cai.prompts import Rendered
from cai.records import Completion
from cai.weights import fingerprint

Result = TypeVar("Result")

FORMAT = 1
"""Raised when a reply is stored otherwise, or an engine answers the same request otherwise."""

_APPLICATION = 0x63616931
"""Tells a cache from any other SQLite file."""
_WAIT = 60.0
"""Seconds that a write waits for those of other processes; each takes well under a millisecond."""


class CachedEngine:
    """Any engine behind a file of its replies. Failures are never stored.

    The file may be shared by several processes on one machine. Raises EngineError where it cannot be used.
    """

    def __init__(self, inner: Engine, path: Path, config: EngineConfig, model: ModelConfig) -> None:
        self._inner = inner
        self._asked = digest([FORMAT, identity_of(config), _weights(model), model.thinking])
        self._flights: dict[str, _Flight] = {}
        with ExitStack() as undo:
            undo.callback(inner.close)
            self._replies = _Replies(path.expanduser())
            undo.pop_all()

    @property
    def concurrency(self) -> int:
        """As the inner engine's."""
        return self._inner.concurrency

    async def generate(self, request: Request) -> Completion:
        """The stored reply, or a new one. At temperature 0 no seed is drawn from, so any seed's reply will do."""
        key = self.key(request)
        stored = self._replies.get(key)
        if stored is None:
            stored = await self._shared(key, lambda: self._generate(key, request))
        reply = self._replies.read(Completion.model_validate_json, stored)
        return reply if reply.seed == request.seed else reply.model_copy(update={"seed": request.seed})

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        """The stored log-probabilities, or new ones."""
        key = self.score_key(prompt, labels)
        stored = self._replies.get(key)
        if stored is None:
            stored = await self._shared(key, lambda: self._score(key, prompt, labels))
        return self._replies.read(json.loads, stored)

    def close(self) -> None:
        """Closes the engine and the file."""
        with closing(self._replies):
            self._inner.close()

    def key(self, request: Request) -> str:
        """Names all that a reply depends on."""
        return digest([self._asked, _shown(request.prompt), _draw(request)])

    def score_key(self, prompt: Rendered, labels: Sequence[str]) -> str:
        """Names all that the log-probabilities of labels depend on."""
        return digest([self._asked, _shown(prompt), {"labels": list(labels)}])

    async def _generate(self, key: str, request: Request) -> str:
        return self._replies.put(key, (await self._inner.generate(request)).model_dump_json())

    async def _score(self, key: str, prompt: Rendered, labels: Sequence[str]) -> str:
        return self._replies.put(key, json.dumps(await self._inner.score(prompt, labels)))

    async def _shared(self, key: str, ask: Callable[[], Coroutine[Any, Any, str]]) -> str:
        """The result of one call, however many wait for it. It is cancelled when the last of them is."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(ask()))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                del self._flights[key]
                flight.task.cancel()


@dataclass
class _Flight:
    """A call under way, and how many wait for it."""

    task: asyncio.Task[str]
    waiting: int = 0


class _Replies:
    """Text by key, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained(), ExitStack() as undo:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            undo.callback(self._file.close)
            self._prepare()
            undo.pop_all()

    def get(self, key: str) -> str | None:
        """What stands under `key`."""
        with self._explained():
            found = self._file.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return found and found[0]

    def put(self, key: str, reply: str) -> str:
        """What stands under `key` from now on: `reply`, or what another process stored there before."""
        with self._explained():
            self._file.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply))
        return self.get(key) or reply

    def read(self, parse: Callable[[str], Result], reply: str) -> Result:
        """What a stored text stands for."""
        with self._explained():
            return parse(reply)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _prepare(self) -> None:
        """Makes the table. Several processes may be doing so at once: the table is looked for before the mark."""
        begun = self._one("SELECT count(*) FROM sqlite_master")
        if begun and self._one("PRAGMA application_id") != _APPLICATION:
            raise sqlite3.DatabaseError("it is an SQLite file of another program")
        self._patiently("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.execute("BEGIN IMMEDIATE")
        columns = "key TEXT PRIMARY KEY, reply TEXT NOT NULL"
        self._file.execute(f"CREATE TABLE IF NOT EXISTS replies ({columns}) WITHOUT ROWID")
        self._file.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._file.execute("COMMIT")

    def _patiently(self, statement: str) -> None:
        """Runs a statement for which SQLite does not wait by itself while another process holds the file."""
        until = time.monotonic() + _WAIT
        while True:
            try:
                self._file.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def _one(self, statement: str) -> Any:
        return self._file.execute(statement).fetchone()[0]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of the file as ours."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            raise EngineError(f"engine.cache: {self._path}: {_advice(error)}") from None


def _advice(error: Exception) -> str:
    """What was found, and what to do."""
    if isinstance(error, sqlite3.OperationalError | OSError):
        return (
            f"cannot be read or written ({error}); see that its folder is there to write to and the disk has room, "
            "then run the same command again, or set engine.cache=null"
        )
    found = error if isinstance(error, sqlite3.Error) else "what it holds cannot be read"
    return f"is no cache of this version, or is damaged ({found}); name another file, or delete this one to start anew"


def _weights(model: ModelConfig) -> list[str | None]:
    return [fingerprint(model.model), model.adapter and fingerprint(model.adapter)]


def _shown(prompt: Rendered) -> list[Any]:
    messages = [[message.role, message.content] for message in prompt.messages]
    return [messages, prompt.text, prompt.reply_start, prompt.stop]


def _draw(request: Request) -> list[Any]:
    """Numbers as they are meant: 1 and 1.0 are one temperature. At 0 nothing is drawn."""
    seed = request.seed if request.temperature else None
    held = [request.choices] if request.choices else []
    return [request.max_tokens, float(request.temperature), float(request.top_p), seed, *held]
