"""Writes to a disk that may be full or broken: all or nothing, and an error that says what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cai.errors import CaiError, StoreError, first_line


@contextmanager
def explained(path: Path | str, done: str = "written") -> Iterator[None]:
    """Turns a full disk and its kin into StoreError, which says what could not be `done` and what helps."""
    try:
        yield
    except CaiError:
        raise
    except OSError as error:
        raise explanation(path, error, done) from error


def explanation(path: Path | str, error: OSError, done: str = "written") -> StoreError:
    """What is said of an error of the disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(path)
    said = error.strerror or first_line(error)  # an object store gives no number
    return StoreError(f"{path}: cannot be {done} ({said}); mend that and run the same command again")


def no_space(path: Path | str) -> StoreError:
    """What is said of a full disk."""
    return StoreError(
        f"{path}: no space left on the disk; free some and run the same command again: nothing stored is lost"
    )


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of it, in as many writes as that takes. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def append_whole(descriptor: int, data: bytes) -> None:
    """One write, so that a kill tears at most the last line. Raises OSError, and leaves the file as it was then."""
    written = os.write(descriptor, data)
    if written < len(data):  # a disk that is nearly full, or a signal
        start = os.fstat(descriptor).st_size - written
        try:
            write_all(descriptor, data[written:])
        except OSError:
            os.ftruncate(descriptor, start)
            raise
