"""Reads hostile files for so many minutes: python -m benchmarks.fuzz --minutes 20.

Each case is made by one seed and read in a folder of its own. It passes where it is read, or refused by an error of
ours that names the file. A finding is any other exception, a case that takes longer than `_PATIENCE`, a file opened for
writing outside of the case's folder, a connection, or a process started. `--case TARGET SEED` runs one case again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.__main__ import merge_rows
from benchmarks.fuzz_targets import Target, targets
from cai.errors import CaiError
from cai.languages import expected_language

RESULTS = Path(__file__).with_name("fuzz.json")
_PATIENCE = 10.0
"""Seconds of this process, however busy the machine is, for one case, which takes milliseconds."""
_MEMORY = 6 * 2**30
"""Bytes of address space: a bomb that unfolds ends in MemoryError."""
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_STARTS = {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn"}


class _Hang(BaseException):
    """A case took too long; no handler of ours may take it for an error of its own."""


class _Watch:
    """Sees every file that is opened for writing and every connection, while a case runs."""

    def __init__(self) -> None:
        self.inside: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event in _STARTS:
            self.seen.append(f"{event} {args[:2]}")
        elif event == "open":
            path, mode, flags = args
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or set(mode or "") & set("wax+"):
                self._touch(path)
        elif event in _CHANGES:
            self._touch(args[0])

    def _touch(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike) or self.inside is None:
            return  # an open descriptor
        whole = os.path.realpath(os.fsdecode(path))
        if not whole.startswith(self.inside) and whole != os.devnull:
            self.seen.append(f"wrote outside: {whole}")


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise _Hang(f"more than {seconds:g} s of computing")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _read(target: Target, seed: int, folder: Path, watch: _Watch) -> tuple[str, str | None]:
    """`read` or `refused`, and what is wrong with that; None where nothing is."""
    draw = random.Random(seed)
    data = target.case(draw)
    tempfile.tempdir = str(folder)
    watch.seen, watch.inside = [], str(folder)
    try:
        with _within(_PATIENCE):
            target.read(data, folder, draw)
        outcome, wrong = "read", None
    except CaiError as error:
        outcome = "refused"
        names = str(folder) in str(error) or "labels.jsonl" in str(error)
        wrong = f"names no file: {str(error)[:200]}" if target.files and not names else None
    except (_Hang, Exception) as error:  # noqa: BLE001 - any other one is a finding
        outcome, wrong = "broken", _told(error)
    finally:
        watch.inside = None
    return outcome, wrong or (watch.seen[0] if watch.seen else None)


def _told(error: BaseException) -> str:
    """The error and the innermost place of ours that it came through: one finding has one such line."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/cai/" in frame.filename] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
    return f"{type(error).__name__} at {place}: {str(error)[:160]}"


def _fuzzed(minutes: float, seed: int, names: list[str]) -> tuple[Counter[str], dict[str, str]]:
    """Counts by outcome, and every finding once, by what it says: how to see it again."""
    counts: Counter[str] = Counter()
    found: dict[str, str] = {}
    watch, chosen = _Watch(), {name: targets()[name] for name in names}
    expected_language("What is loaded once takes a while", None)
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="cai-fuzz-") as root:
        home = Path(root).resolve()
        while time.monotonic() < end:
            for name, target in chosen.items():
                seed += 1
                folder = home / "case"
                folder.mkdir()
                outcome, wrong = _read(target, seed, folder, watch)
                counts[outcome] += 1
                key = f"{name}: {wrong.split(': ', 1)[0]}" if wrong else ""
                if wrong and key not in found:
                    found[key] = f"--case {name!r} {seed}: {wrong}"
                    print(found[key], flush=True)
                shutil.rmtree(folder)
    return counts, found


def main(given: list[str]) -> int:
    """0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=sorted(targets()), help="only this; may be given again")
    parser.add_argument("--case", nargs=2, metavar=("TARGET", "SEED"))
    parser.add_argument("--keep", action="store_true", help="write a row to benchmarks/fuzz.json")
    options = parser.parse_args(given)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    sys.dont_write_bytecode = True
    if options.case:
        return _one(options.case[0], int(options.case[1]))
    names = options.target or sorted(targets())
    counts, found = _fuzzed(options.minutes, options.seed, names)
    total = counts.total()
    print(f"{total} cases of {len(names)} readers in {options.minutes:g} min: {dict(counts)}; {len(found)} findings")
    if options.keep:
        merge_rows(RESULTS, [_row(options, total, counts, found)])
    return int(bool(found))


def _one(name: str, seed: int) -> int:
    """Runs one case in a new folder, which stays, with the whole traceback."""
    folder = Path(tempfile.mkdtemp(prefix="cai-fuzz-"))
    draw = random.Random(seed)
    data = targets()[name].case(draw)
    print(f"in {folder}: {len(data)} bytes, {data[:300]!r}")
    try:
        with _within(_PATIENCE):
            targets()[name].read(data, folder, draw)
    except (_Hang, Exception):  # noqa: BLE001 - shown, whatever it is
        traceback.print_exc()
    return 0


def _row(options: argparse.Namespace, total: int, counts: Counter[str], found: dict[str, str]) -> dict[str, Any]:
    detail = f"{total} cases, seeds from {options.seed + 1}: {json.dumps(dict(counts))}"
    return {
        "name": f"fuzz_seed_{options.seed}", "value": len(found), "reach": 0, "reached": not found, "unit": "findings",
        "command": f"python -m benchmarks.fuzz --minutes {options.minutes:g} --seed {options.seed} --keep",
        "detail": "; ".join([f"{options.minutes:g} min at one core", detail, *found.values()]),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
