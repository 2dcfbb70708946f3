"""Uploads an export as a data set of the Hugging Face hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cai import __version__
from cai.errors import EngineError, InputError, first_line, needing
from cai.export.folder import Export, fill
from cai.export.place import CARD, FILES, MARK, check_place, written
from cai.export.source import Source

PREFIX = "hub:"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_OWN = {".gitattributes"}
"""What the hub puts into a new repository."""
_TOKEN = "run `hf auth login`, or set HF_TOKEN to a token that may write"


def push(source: Source, name: str, private: bool) -> tuple[Export, str]:
    """Exports a run to the data set `name` (owner/name), which is made if it is not there. Returns its address too.

    An earlier export of the same run is replaced. Raises InputError where the name, the token or its rights won't do,
    or where the data set holds something else; EngineError where the hub can't be reached or fails; as `fill`.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{PREFIX}{name}: expected {PREFIX}owner/name")
    with needing("data"):
        from huggingface_hub import HfApi
    api = HfApi()
    with tempfile.TemporaryDirectory() as temporary:
        folder, before = (Path(temporary) / part for part in ("new", "before"))
        with _explained(name):
            url = str(api.create_repo(name, repo_type="dataset", private=private, exist_ok=True))
            there = _fetched(api, name, before)
        check_place(f"{PREFIX}{name}", there, before, source.name)
        with written(f"{PREFIX}{name}: the temporary folder {temporary}"):
            folder.mkdir()
            export = fill(source, folder, name)
        with _explained(name):
            _upload(api, name, folder, there)
    return export, url


def _fetched(api: Any, name: str, folder: Path) -> set[str]:
    """What the data set holds; its card and mark come to `folder`."""
    there = set(api.list_repo_files(name, repo_type="dataset")) - _OWN
    for file in {CARD, MARK} & there if MARK in there else ():
        api.hf_hub_download(name, file, repo_type="dataset", local_dir=folder)
    return there


def _upload(api: Any, name: str, folder: Path, there: set[str]) -> None:
    stale = [file for file in FILES if file in there and not (folder / file).exists()]
    api.upload_folder(
        repo_id=name,
        folder_path=folder,
        repo_type="dataset",
        commit_message=f"Export by cai {__version__}",
        delete_patterns=stale or None,
    )


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turns what the hub's client raises into errors that say what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.LocalTokenNotFoundError:
        raise InputError(f"{PREFIX}{name}: no token for the hub; {_TOKEN}") from None
    except errors.HFValidationError as error:
        raise InputError(f"{PREFIX}{name}: the hub takes no such name ({first_line(error)})") from None
    except errors.HfHubHTTPError as error:
        raise _answered(name, error) from None
    except (errors.HTTPError, OSError) as error:  # pyright: ignore[reportPrivateImportUsage]
        raise EngineError(
            f"{PREFIX}{name}: the hub can't be reached ({first_line(error)}); check the network, or export to a folder "
            "and upload that later: `hf upload owner/name FOLDER --repo-type dataset`"
        ) from None


def _answered(name: str, error: Any) -> InputError | EngineError:
    """What an HTTP status means here."""
    status, owner = error.response.status_code, name.split("/")[0]
    if status == 401:
        return InputError(f"{PREFIX}{name}: the hub wants a token, or doesn't know the one it got; {_TOKEN}")
    if status == 403:
        return InputError(
            f"{PREFIX}{name}: your token may not write to {owner!r}; take your own name or {_TOKEN} there"
        )
    if status == 404:
        return InputError(f"{PREFIX}{name}: the hub knows no {owner!r}, or doesn't show it to you; {_TOKEN}")
    return EngineError(f"{PREFIX}{name}: the hub answered {status} ({first_line(error)}); try again later")
