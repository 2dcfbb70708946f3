"""The files of NVIDIA/NeMo-Aligner, examples/nlp/cai: instructions, and worked examples as lists of messages.

NeMo-Aligner asks for the keys `harmful0`, `harmful1`, ... and for the roles `User` and `Assistant`. What its judge is
shown, `sys_prompt_constitution`, is a text for people and is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cai.errors import InputError
from cai.exchange.bundle import Bundle, Exported, Imported, numbered
from cai.exchange.chats import Chats, chat_of, examples_of, files_of, lost_in_chats
from cai.exchange.instructions import NAME, instructions, read_instructions
from cai.exchange.reading import Part, read_json

EXAMPLES = "few_shot_samples_example.json"

LICENCE = "The files state no licence; NeMo-Aligner itself is under the Apache License 2.0."


class _Samples(Part):
    samples: Chats


def read_nemo(source: Path) -> Imported:
    """A constitution from a file of instructions, or from a folder with worked examples beside it.

    Raises InputError where a file is missing or something else.
    """
    path, shown = (source / NAME, source / EXAMPLES) if source.is_dir() else (source, None)
    principles = read_instructions(path)
    if not principles:
        raise InputError(f"{path}: holds no instructions; give at least one")
    examples = examples_of(read_json(shown, _Samples).samples, f"{shown}: samples") if shown and shown.is_file() else []
    made_from = f"{path.name}, {EXAMPLES}" if examples else path.name
    notes = () if examples else (f"no {EXAMPLES} was read; the worked examples that ship with cai are shown",)
    about = "Critiques and revisions as NeMo-Aligner asks for them."
    return Imported(files_of("nemo", principles, examples, made_from, about), "nemo.yaml", LICENCE, notes)


def write_nemo(bundle: Bundle) -> Exported:
    """The instructions and the worked examples."""
    kept = [one for one in bundle.constitution.principles if one.serves("revision")]
    keys = numbered("harmful", len(kept))
    files: dict[str, Any] = {NAME: instructions(kept, keys)}
    if bundle.revisions:
        chats = [chat_of(example, ("User", "Assistant", "System")) for example in bundle.revisions]
        files[EXAMPLES] = {"samples": chats}
    return Exported(files, lost_in_chats(bundle, kept, keys))
