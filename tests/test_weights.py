"""From a name to a folder of weights: made once, told apart by their content, refused with a reason."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cai import weights
from cai.errors import EngineError, MissingExtra, StoreError
from cai.store import StepFolder
from cai.weights import ALIASES, TINY, cache_folder, fingerprint, parameters, resolve, resolve_adapter

MAKER = """
import sys, time
from pathlib import Path
from cai import weights

def make(folder):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    folder.mkdir()
    time.sleep(0.5)
    (folder / "config.json").write_text("{}")

weights._make_tiny = make
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
print(weights.resolve("tiny-random"))
"""
"""Waits for a signal, so that all processes begin together, and then asks for the alias."""


def safetensors(path: Path, *shapes: tuple[int, ...], fill: bytes = b"\0") -> None:
    """A file of float32 tensors, all bytes `fill`."""
    header, end = {}, 0
    for index, shape in enumerate(shapes):
        size = 4
        for side in shape:
            size *= side
        header[f"t{index}"] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    head = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + fill * end)


def model(folder: Path, *shapes: tuple[int, ...], fill: bytes = b"\0") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    safetensors(folder / "model.safetensors", *shapes, fill=fill)
    return folder


def complaint(name: str) -> str:
    with pytest.raises(EngineError) as caught:
        resolve(name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CAI_CACHE": "/a"}, "/a"),
        ({"CAI_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/cai"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/cai"),
        ({}, "/home/me/.cache/cai"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("CAI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environment}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_an_alias_is_made_once_by_processes_that_ask_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_CACHE", str(tmp_path / "cache"))
    log, begin = tmp_path / "log", tmp_path / "begin"
    command = [sys.executable, "-c", MAKER, str(log), str(begin)]
    asked = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.stdout and process.stdout.readline() for process in asked] == ["ready\n"] * 2
    begin.touch()
    found = {process.communicate(timeout=60)[0].strip() for process in asked}
    assert [process.returncode for process in asked] == [0, 0]
    assert found == {str(tmp_path / "cache" / TINY)}
    assert log.read_text() == "made\n"
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.name.endswith(".tmp")] == []


def test_an_alias_half_made_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_CACHE", str(tmp_path))
    (tmp_path / TINY).mkdir()
    monkeypatch.setattr("cai.weights._make_tiny", lambda folder: model(folder, (2, 2)))
    assert parameters(resolve(TINY)) == 4


@pytest.mark.slow
def test_the_tiny_model_has_the_parameters_of_the_table() -> None:
    folder = Path(resolve(TINY))
    assert parameters(str(folder)) == ALIASES[TINY].parameters == parameters(TINY)
    assert resolve(TINY) == str(folder)
    assert folder.parent == cache_folder()


# Folders.


def test_a_folder_of_weights_is_itself(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", (2,))
    assert resolve(str(folder)) == str(folder)


def test_a_model_that_a_run_left_is_refused_once_it_changed(tmp_path: Path) -> None:
    folder = model(tmp_path / "sft-01234567" / "model", (2,))
    StepFolder(folder.parent).finish({})
    assert resolve(str(folder)) == str(folder)
    safetensors(folder / "model.safetensors", (2,), fill=b"\1")
    with pytest.raises(StoreError, match=r"model\.safetensors: found bytes with SHA-256 .* as DONE has it; put back"):
        resolve(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors: is missing"):
        resolve(str(folder))


def test_a_model_of_a_run_without_checksums_is_opened_as_before(tmp_path: Path) -> None:
    folder = model(tmp_path / "sft-01234567" / "model", (2,))
    (folder.parent / "DONE").write_text('{"seconds": 1}')
    assert resolve(str(folder)) == str(folder)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("pytorch_model.bin", "model.safetensors"),
        ("pytorch_model-00001-of-00002.bin", "model-00001-of-00001.safetensors"),
        ("adapter_model.bin", "adapter_model.safetensors"),
        ("adapter_model.pt", "adapter_model.safetensors"),
        ("weights.pt", "model.safetensors"),
        ("model.ckpt", "model.safetensors"),
    ],
)
def test_weights_that_are_a_pickle_are_refused_unread(tmp_path: Path, name: str, instead: str) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"\x80\x04not even a pickle")
    for found in (resolve, resolve_adapter):
        with pytest.raises(EngineError, match=rf"pickle \({name}\), which can run code when it is read; expected safe"):
            found(str(tmp_path))
    safetensors(tmp_path / instead, (2,))
    assert resolve(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "adapter_model.pt"])
def test_another_safetensors_file_beside_a_pickle_changes_nothing(tmp_path: Path, name: str) -> None:
    """Libraries choose by name: they would read the pickle."""
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / name).write_bytes(b"\x80\x04not even a pickle")
    safetensors(tmp_path / "decoy.safetensors", (2,))
    for found in (resolve, resolve_adapter):
        with pytest.raises(EngineError, match=rf"pickle \({name}\), which can run code"):
            found(str(tmp_path))


def test_an_adapter_without_weights_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub may have one that is called as the folder is, and peft would take a pickle from there."""
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        EngineError, match=r"owner/name holds no adapter_model\.safetensors; expected a folder that peft"
    ):
        resolve_adapter("owner/name")
    safetensors(folder / "adapter_model.safetensors", (2,))
    assert resolve_adapter("owner/name") == "owner/name"


# Folders that are damaged.


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def within_its_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:40])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(b"garbage" * 9)


def odd(header: object) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        head = json.dumps(header).encode()
        file.write_bytes(len(head).to_bytes(8, "little") + head)

    return write


ODD = [[], {"t": 1}, {"t": {}}, {"t": {"shape": [1], "data_offsets": ["x", "y"]}}]
ODD += [{"t": {"shape": side, "data_offsets": [0, 0]}} for side in (3, ["x"], [-1], [1e400])]


@pytest.mark.parametrize("damage", [cut, within_its_header, empty, garbage, *map(odd, ODD)])
def test_weights_that_are_damaged_are_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    folder = model(tmp_path / "model", (2, 3))
    damage(folder / "model.safetensors")
    for found in (resolve, parameters):
        with pytest.raises(
            EngineError, match=r"/model/model\.safetensors is not a whole safetensors file \(.+\); fetch"
        ):
            found(str(folder))
    safetensors(folder / "adapter_model.safetensors", (2,))
    damage(folder / "adapter_model.safetensors")
    with pytest.raises(EngineError, match=r"adapter_model\.safetensors is not a whole safetensors file"):
        resolve_adapter(str(folder))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert f"{tmp_path} holds no weights; expected model.safetensors, or its parts" in complaint(str(tmp_path))


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_a_config_that_is_damaged_is_named(tmp_path: Path, content: bytes) -> None:
    folder = model(tmp_path / "model", (2,))
    (folder / "config.json").write_bytes(content)
    assert f"{folder}/config.json is not a JSON object (" in complaint(str(folder))


@pytest.mark.parametrize("weights", ["[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_damaged_is_named(tmp_path: Path, weights: str) -> None:
    folder = model(tmp_path / "model", (2,))
    (folder / "model.safetensors.index.json").write_text(weights)
    assert "model.safetensors.index.json is not a" in complaint(str(folder))


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = model(tmp_path / "model", (2,))
    parts = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    (folder / "model.safetensors").rename(folder / parts[0])
    index = {"weight_map": dict(zip("ab", parts, strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert f"{parts[1]} is missing, which model.safetensors.index.json names" in complaint(str(folder))
    safetensors(folder / parts[1], (2,))
    assert resolve(str(folder)) == str(folder)


def test_every_model_is_loaded_from_safetensors_alone() -> None:
    """Beside a safetensors file no pickle is read, and no model is loaded from where `resolve` has not looked."""
    package = Path(weights.__file__).parent
    for path in package.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            loader = ast.unparse(call.func.value)
            if call.func.attr == "from_pretrained" and loader.startswith(("AutoModel", "kind")):
                options = ast.unparse(call)
                assert "use_safetensors" in options or "_options(" in options or "gguf" in options, (path, options)
                assert any(one in options for one in ("resolve(", "path", "gguf", "HERE /")), (path, options)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    told = complaint(str(tmp_path))
    assert str(tmp_path) in told
    assert "holds no config.json" in told


@pytest.mark.parametrize("name", ["nope", "smollm2", "./nope/model", "/nope/model", "~/nope/model", "a/b/c"])
def test_a_name_that_can_be_no_model_is_refused_without_asking_the_hub(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cai.weights._from_hub", lambda name: pytest.fail(f"asked the hub for {name}"))
    told = complaint(name)
    assert f"no model {name!r}" in told
    for alias in ALIASES:
        assert alias in told


# The hub.


def test_a_hub_name_is_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    model(tmp_path / "owner" / "name", (2,))
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(tmp_path / name))
    assert resolve("owner/name") == str(tmp_path / "owner" / "name")


def test_a_model_whose_weights_are_pickles_on_the_hub_is_refused_and_they_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("huggingface_hub")
    remote = model(tmp_path / "remote", (2,))
    (remote / "model.safetensors").unlink()
    (remote / "pytorch_model.bin").write_bytes(b"\x80\x04not even a pickle")
    here = tmp_path / "here"
    here.mkdir()

    def download(name: str, allow_patterns: list[str], **_: object) -> str:
        for file in remote.iterdir():
            if any(file.match(pattern) for pattern in allow_patterns):
                (here / file.name).write_bytes(file.read_bytes())
        return str(here)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    for found in (resolve, resolve_adapter):
        with pytest.raises(
            EngineError, match=r"'owner/name' has no safetensors on the hub, and only those are fetched"
        ):
            found("owner/name")
    assert [file.name for file in here.iterdir()] == ["config.json"]


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")

    def refuse(name: str, **_: object) -> str:
        raise ConnectionError("no route to host\nand many more lines")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    told = complaint("owner/name")
    assert "'owner/name' is not here and could not be fetched from the hub (no route to host)" in told
    assert "\n" not in told


def test_without_the_hub_package_the_pip_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cai.weights.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"'huggingface_hub' is needed here.*\n.*pip install .*\[train\]"):
        resolve("owner/name")


# What stands for weights in a digest, and how many there are.


def test_the_fingerprint_of_a_name_is_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model(tmp_path / TINY, (2,))
    assert fingerprint(TINY) == TINY
    assert fingerprint("owner/name") == "owner/name"


def test_the_fingerprint_of_a_folder_is_its_content_and_not_its_place(tmp_path: Path) -> None:
    first = model(tmp_path / "a", (2, 3))
    before = fingerprint(str(first))
    moved = first.rename(tmp_path / "b")
    (moved / "notes.txt").write_text("not weights")
    assert fingerprint(str(moved)) == before
    assert fingerprint(str(model(tmp_path / "c", (2, 3)))) == before


@pytest.mark.parametrize("change", ["weights", "shape", "config", "name"])
def test_the_fingerprint_of_a_folder_changes_with_its_content(tmp_path: Path, change: str) -> None:
    folder = model(tmp_path / "a", (2, 3))
    before = fingerprint(str(folder))
    weights = folder / "model.safetensors"
    if change == "weights":
        safetensors(weights, (2, 3), fill=b"\1")
    elif change == "shape":
        safetensors(weights, (3, 2))
    elif change == "config":
        (folder / "config.json").write_text('{"a": 1}')
    else:
        weights.rename(folder / "other.safetensors")
    assert fingerprint(str(folder)) != before


def test_the_last_bytes_of_a_large_file_count(tmp_path: Path) -> None:
    folder = model(tmp_path / "a", (1 << 20,))
    before = fingerprint(str(folder))
    with (folder / "model.safetensors").open("rb+") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    assert fingerprint(str(folder)) != before


def test_parameters_are_counted_over_all_files(tmp_path: Path) -> None:
    folder = model(tmp_path / "a", (2, 3), (4,), ())
    safetensors(folder / "more.safetensors", (5, 5))
    assert parameters(str(folder)) == 6 + 4 + 1 + 25


def test_parameters_of_what_is_not_here_are_not_known(tmp_path: Path) -> None:
    assert parameters("owner/name") is None
    assert parameters(str(tmp_path)) is None
