"""Errors of a disk, told so that a person can act on them; tests/test_store.py fills disks."""

import errno
import os

import pytest

from cai.disk import explained
from cai.errors import EngineError, StoreError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), r"^s3://x/y: no space left on the disk; free some"),
        (PermissionError(errno.EACCES, "Permission denied"), r"^s3://x/y: cannot be read \(Permission denied\); mend"),
        (
            PermissionError("no such bucket\nand more"),
            r"^s3://x/y: cannot be read \(no such bucket\); mend that",
        ),
    ],
)
def test_what_cannot_be_done_is_told_with_what_helps(error: OSError, told: str) -> None:
    with pytest.raises(StoreError, match=told) as caught, explained("s3://x/y", "read"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [StoreError("x"), EngineError("x"), ValueError("x")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, explained("x"):
        raise error
    assert caught.value is error
