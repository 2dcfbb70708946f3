"""The errors: exit codes, standard types, and the line that a user can paste."""

from __future__ import annotations

import inspect
import json
from importlib import metadata
from pathlib import Path

import pytest

import cai.errors
from cai.errors import CaiError, EngineError, InputError, Interrupted, ItemFailed, MissingExtra, StoreError

CLASSES = [kind for _, kind in inspect.getmembers(cai.errors, inspect.isclass) if issubclass(kind, CaiError)]


class FakeDistribution:
    def __init__(self, direct_url: str | None) -> None:
        self.direct_url = direct_url

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.direct_url


def pretend_installed(monkeypatch: pytest.MonkeyPatch, direct_url: str | None) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: FakeDistribution(direct_url))


def test_every_class_has_an_exit_code_of_its_own_that_a_shell_can_hold() -> None:
    codes = [kind.exit_code for kind in CLASSES if kind is not ItemFailed]
    assert len(CLASSES) >= 6
    assert len(set(codes)) == len(codes)
    assert all(0 < code < 256 for code in codes)
    assert ItemFailed.exit_code == EngineError.exit_code, "it ends a run only where it stands for the whole engine"


def test_ctrl_c_has_the_code_of_a_shell() -> None:
    assert Interrupted.exit_code == 128 + 2


@pytest.mark.parametrize(
    ("kind", "standard"), [(InputError, ValueError), (StoreError, OSError), (EngineError, RuntimeError)]
)
def test_a_class_is_also_the_standard_type_it_resembles(kind: type[CaiError], standard: type[Exception]) -> None:
    with pytest.raises(standard, match="because"):
        raise kind("because")


def test_every_class_says_when_it_is_raised() -> None:
    assert all(kind.__doc__ for kind in CLASSES)


def test_missing_extra_has_the_pip_line_of_a_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, None)
    error = MissingExtra("pyarrow", "data")
    assert isinstance(error, ImportError)
    assert "'pyarrow'" in str(error)
    assert str(error).endswith("do this: pip install 'constitutional-ai[data]'")


def test_missing_extra_has_the_pip_line_of_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, json.dumps({"url": "file:///home/a%20b/cai", "dir_info": {"editable": True}}))
    assert str(MissingExtra("torch", "train")).endswith("pip install -e '/home/a b/cai[train]'")


def test_missing_extra_of_a_wheel_from_a_folder_is_not_taken_for_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, json.dumps({"url": "file:///home/cai", "dir_info": {}}))
    assert "pip install 'constitutional-ai[train]'" in str(MissingExtra("torch", "train"))


def test_missing_extra_in_a_clone_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert f"-e '{Path(cai.errors.__file__).resolve().parent.parent}[data]'" in str(MissingExtra("pyarrow", "data"))
