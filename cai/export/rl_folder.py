"""Writes a run for reinforcement learning by OpenRLHF or verl: data, models, reward and command in one folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import cai
from cai.errors import needing
from cai.export import openrlhf, verl
from cai.export.place import made_whole
from cai.export.rl_settings import RlSource
from cai.store import write_json, write_text

Project = Literal["openrlhf", "verl"]
PROJECTS: Mapping[Project, ModuleType] = {"openrlhf": openrlhf, "verl": verl}
_GROUP = 1000
"""Rows of Parquet that are held at once."""


@dataclass(frozen=True)
class RlExport:
    """What was written. `rows`: by file; `notes`: what of the recipe does not go with it."""

    rows: Mapping[str, int]
    models: tuple[str, ...]
    notes: tuple[str, ...]


def export_rl(source: RlSource, project: Project, to: Path) -> RlExport:
    """Writes everything to a folder that is empty or not there yet; half of it is never left there.

    Raises InputError where the folder holds something, or the recipe has what neither project knows; MissingExtra
    without the extra `train`; StoreError where the disk will not take it.
    """
    with made_whole(to) as folder:
        return _fill(source, project, folder)


def _fill(source: RlSource, project: Project, folder: Path) -> RlExport:
    form, reward = PROJECTS[project], source.reward()
    policy, models = source.policy, source.models
    rows, longest = _write_prompts(source, project, folder)
    if project == "openrlhf" and (count := _lines(folder / "preferences.jsonl", openrlhf.preference_rows(source))):
        rows["preferences.jsonl"] = count
    write_json(folder / "reward.json", reward)
    package = Path(cai.__file__).parent
    shutil.copyfile(package / "trainers" / "standalone_reward.py", folder / "reward.py")
    shutil.copyfile(package / "repeats.py", folder / "repeats.py")
    for name, model in {"policy": policy, **models}.items():
        shutil.copytree(model, folder / name)
    write_text(folder / "train.sh", form.launch(source, longest))
    (folder / "train.sh").chmod(0o755)
    notes = [*source.left_out(), *form.notes(source.config)]
    write_text(folder / "README.md", _readme(source, project, rows, notes))
    return RlExport(rows, ("policy", *models), tuple(notes))


def _write_prompts(source: RlSource, project: Project, folder: Path) -> tuple[dict[str, int], int]:
    """The prompts of all steps. Returns rows by file, and the longest prompt's tokens."""
    longest = 0

    def made() -> Iterator[dict[str, Any]]:
        nonlocal longest
        for index, (prompt, turns) in enumerate(source.asked()):
            longest = max(longest, source.length(turns))
            yield PROJECTS[project].prompt_row(prompt, turns, index)

    name = "prompts.jsonl" if project == "openrlhf" else "prompts.parquet"
    count = (_lines if project == "openrlhf" else _parquet)(folder / name, made())
    return {name: count}, longest


def _lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    if not count:
        path.unlink()
    return count


def _parquet(path: Path, rows: Iterator[dict[str, Any]]) -> int:
    with needing("data"):
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    count, first = 0, pyarrow.Table.from_pylist(list(islice(rows, _GROUP)))
    with ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        count += len(first)
        while group := list(islice(rows, _GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, first.schema))
            count += len(group)
    return count


def _readme(source: RlSource, project: Project, rows: Mapping[str, int], notes: Iterable[str]) -> str:
    counts = "\n".join(f"- `{name}`: {count:,} rows" for name, count in rows.items())
    said = "\n".join(f"- {note}" for note in notes) or "- nothing"
    return _README.format(name=source.source.name, project=project, counts=counts, notes=said, hook=_HOOKS[project])


_HOOKS = {
    "openrlhf": "`--reward.remote_url reward.py`, which loads the file by its path and calls `reward_func(queries, "
    "prompts, labels)` with `labels` from the column `label`",
    "verl": "`reward.custom_reward_function.path=reward.py`, which loads the file by its path and calls "
    "`compute_score(data_source, solution_str, ground_truth, extra_info)`",
}

_README = """# Reinforcement learning of the run {name} with {project}

`NODES=1 GPUS=8 ./train.sh` trains `policy/` on the prompts here; what stands behind it is passed on.

{counts}

The reward is `reward.py`: it adds up what `reward.json` names, with the preference models in the folders beside it
(sequence classification with one label, safetensors; a score is in log-odds). It is called through
{hook}. It needs torch, transformers and jinja2, and not cai; `CAI_REWARD_DEVICE` says where it runs.

What of the recipe is otherwise here:

{notes}
"""
