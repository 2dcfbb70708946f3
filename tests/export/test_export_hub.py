"""The hub, as a folder behind the calls of its client that we make: no test here reaches the real one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from export_data import recipe, records, stored
from huggingface_hub import errors

import cai.export.folder
from cai.errors import EngineError, InputError, StoreError
from cai.export.hub import push
from cai.export.source import Source, open_source

datasets.disable_progress_bars()


class Hub:
    """Data sets by name as folders below `root`. `fails` is raised by the call that `at` names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails: Exception | None = None
        self.at = "create_repo"

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool, repo_type: str) -> str:
        self._called("create_repo", private=private, repo_type=repo_type)
        assert exist_ok
        (self.root / repo_id).mkdir(parents=True, exist_ok=True)
        (self.root / repo_id / ".gitattributes").touch()
        return f"https://huggingface.co/datasets/{repo_id}"

    def list_repo_files(self, repo_id: str, *, repo_type: str) -> list[str]:
        self._called("list_repo_files", repo_type=repo_type)
        folder = self.root / repo_id
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    def hf_hub_download(self, repo_id: str, filename: str, *, repo_type: str, local_dir: Path) -> str:
        self._called("hf_hub_download", repo_type=repo_type)
        local_dir.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(self.root / repo_id / filename, local_dir / filename))

    def upload_folder(
        self, *, repo_id: str, folder_path: Path, repo_type: str, commit_message: str, delete_patterns: list[str] | None
    ) -> None:
        self._called("upload_folder", repo_type=repo_type, message=commit_message)
        for name in delete_patterns or ():
            (self.root / repo_id / name).unlink()
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def _called(self, name: str, **given: Any) -> None:
        self.calls.append((name, given))
        if self.fails and name == self.at:
            raise self.fails


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return open_source(stored(tmp_path / "runs", records()))


def files(hub: Hub, name: str = "me/data") -> set[str]:
    folder = hub.root / name
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("private", [True, False])
def test_a_new_data_set_is_made_and_filled(hub: Hub, source: Source, tmp_path: Path, private: bool) -> None:
    export, url = push(source, "me/data", private)
    assert url == "https://huggingface.co/datasets/me/data" and sum(one.rows for one in export.written) > 0
    assert hub.calls[0] == ("create_repo", {"private": private, "repo_type": "dataset"})
    assert all(given["repo_type"] == "dataset" for _, given in hub.calls)
    card = (hub.root / "me" / "data" / "README.md").read_text("utf-8")
    assert 'load_dataset("me/data", "sl"' in card and str(tmp_path) not in card
    loaded: Any = datasets.load_dataset(str(hub.root / "me" / "data"), "preferences", cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "not_parsed"}


def test_an_earlier_export_is_replaced_and_other_files_stay(hub: Hub, source: Source, tmp_path: Path) -> None:
    push(source, "me/data", True)
    (hub.root / "me" / "data" / "LICENSE").touch()
    fewer = {name: found for name, found in records().items() if name in ("respond", "revise")}
    push(open_source(stored(tmp_path / "others", fewer)), "me/data", True)
    assert files(hub) == {
        ".gitattributes", "LICENSE", "README.md", "chains/train.parquet", "constitution.yaml", "export.json",
        "prompts/train.parquet", "recipe.yaml", "sl/train.parquet",
    }  # fmt: skip


def test_a_data_set_of_something_else_is_left_alone(hub: Hub, source: Source) -> None:
    (hub.root / "me" / "data").mkdir(parents=True)
    (hub.root / "me" / "data" / "train.csv").touch()
    with pytest.raises(InputError, match="hub:me/data holds something that is no export of a run"):
        push(source, "me/data", True)
    assert files(hub) == {".gitattributes", "train.csv"}


def test_an_export_of_another_run_is_left_alone(hub: Hub, source: Source, tmp_path: Path) -> None:
    push(open_source(stored(tmp_path / "others", records(), settings=recipe(name="other"))), "me/data", True)
    with pytest.raises(InputError, match="hub:me/data holds an export of run 'other'"):
        push(source, "me/data", True)


def test_a_card_that_was_changed_on_the_hub_is_not_overwritten(hub: Hub, source: Source) -> None:
    push(source, "me/data", True)
    (hub.root / "me" / "data" / "README.md").write_text("mine")
    with pytest.raises(InputError, match=r"hub:me/data: README\.md was changed since"):
        push(source, "me/data", True)


@pytest.mark.parametrize("name", ["", "data", "me/", "/data", "me/my data", "a/b/c", "../data", "me/data?x"])
def test_a_name_must_have_an_owner(hub: Hub, source: Source, name: str) -> None:
    with pytest.raises(InputError, match="expected hub:owner/name"):
        push(source, name, True)
    assert hub.calls == []


def answered(status: int) -> Callable[[], Exception]:
    """What the real client raises for an HTTP status."""

    def make() -> Exception:
        response: Any = type("Response", (), {"status_code": status, "headers": {}, "request": None})()
        return errors.HfHubHTTPError(f"{status} from the server\nmore", response=response)

    return make


def unreachable() -> Exception:
    return errors.HTTPError("Name or service not known")  # pyright: ignore[reportPrivateImportUsage]


@pytest.mark.parametrize("at", ["create_repo", "list_repo_files", "upload_folder"])
@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: errors.LocalTokenNotFoundError("no token"), InputError, "no token for the hub; run `hf auth login`"),
        (answered(401), InputError, "wants a token, or doesn't know the one it got; run `hf auth login`"),
        (answered(403), InputError, "your token may not write to 'me'"),
        (answered(404), InputError, "the hub knows no 'me'"),
        (answered(500), EngineError, r"the hub answered 500 \(500 from the server\); try again later"),
        (answered(429), EngineError, "the hub answered 429"),
        (
            unreachable,
            EngineError,
            r"can't be reached \(Name or service not known\); check the network, or export to a",
        ),
        (lambda: errors.OfflineModeIsEnabled("offline"), EngineError, r"can't be reached \(offline\)"),
        (lambda: errors.HFValidationError("too long"), InputError, r"takes no such name \(too long\)"),
    ],
)
def test_what_the_hub_refuses_says_what_to_do(
    hub: Hub, source: Source, at: str, make: Callable[[], Exception], kind: type[Exception], said: str
) -> None:
    hub.at, hub.fails = at, make()
    with pytest.raises(kind, match=f"^hub:me/data: .*{said}"):
        push(source, "me/data", True)


def test_an_error_of_the_run_is_not_taken_for_one_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", records())
    with (run.steps["compare"].path / "items.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(StoreError, match="not a Comparison record"):
        push(open_source(run), "me/data", True)
    assert "upload_folder" not in [name for name, _ in hub.calls]


def test_a_full_disk_is_not_taken_for_an_error_of_the_hub(
    hub: Hub, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cai.export.folder, "write_rules", full)
    with pytest.raises(StoreError, match=r"temporary folder .* cannot be written \(No space left on device\)"):
        push(source, "me/data", True)


def test_the_calls_are_ones_that_the_real_client_takes() -> None:
    """The hub above has the names and arguments of the client that is installed."""
    import inspect

    for name in ("create_repo", "list_repo_files", "hf_hub_download", "upload_folder"):
        ours = set(inspect.signature(getattr(Hub, name)).parameters)
        theirs = inspect.signature(getattr(huggingface_hub.HfApi, name)).parameters
        assert ours <= theirs.keys(), name
