"""What trainers share: a full disk is told in our words, whatever a library says of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from cai.errors import EngineError, StoreError
from cai.trainers import common
from cai.trainers.common import told_if_full

FULL = (
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
)


@pytest.mark.parametrize("error", FULL, ids=lambda one: type(one).__name__)
def test_a_full_disk_is_told_as_that(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(StoreError, match=rf"^{tmp_path}: no space left on the disk"), told_if_full(tmp_path):
        raise error


def test_a_failed_write_on_a_full_disk_that_names_no_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyTorch's writer of zip files has it."""
    error = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    with pytest.raises(RuntimeError, match="PytorchStreamWriter"), told_if_full(tmp_path):
        raise error
    monkeypatch.setattr(common, "free_bytes", lambda _: 100)
    with pytest.raises(StoreError, match="no space left on the disk"), told_if_full(tmp_path):
        raise error


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EIO, "x"), RuntimeError("shape"), EngineError("x")])
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, told_if_full(tmp_path):
        raise error
    assert caught.value is error
