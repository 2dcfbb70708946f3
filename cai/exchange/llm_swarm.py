"""Constitutions of huggingface/llm-swarm, examples/constitutional-ai: one JSON file.

`constitutions` holds pairs of `critic` and `revision`, `system_chat` worked examples as lists of messages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from cai.exchange.bundle import Bundle, Exported, Imported, numbered
from cai.exchange.chats import Chats, chat_of, examples_of, files_of, lost_in_chats
from cai.exchange.reading import Part, as_ids, read_json

LICENCE = "The file states no licence; llm-swarm itself is under the MIT licence."

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class _Pair(Part):
    critic: Text
    revision: Text


class _File(Part):
    constitutions: Annotated[tuple[_Pair, ...], Field(min_length=1)]
    system_chat: Chats = ()


def read_llm_swarm(source: Path) -> Imported:
    """A constitution named as the file is. Raises InputError for anything else than such a file."""
    found = read_json(source, _File)
    (name,) = as_ids([source.stem], str(source))
    principles = [
        {"id": id_, "critique": pair.critic, "revision": pair.revision}
        for id_, pair in zip(numbered("principle", len(found.constitutions)), found.constitutions, strict=True)
    ]
    examples = examples_of(found.system_chat, f"{source}: system_chat")
    notes = () if examples else (f"{source}: no system_chat; the worked examples that ship with cai are shown",)
    about = "Critiques and revisions as llm-swarm asks for them."
    return Imported(files_of(name, principles, examples, source.name, about), f"{name}.yaml", LICENCE, notes)


def write_llm_swarm(bundle: Bundle) -> Exported:
    """One file, named as the constitution is."""
    kept = [one for one in bundle.constitution.principles if one.serves("revision")]
    data = {
        "system_chat": [chat_of(example) for example in bundle.revisions],
        "constitutions": [{"critic": one.critique, "revision": one.revision} for one in kept],
    }
    (name,) = as_ids([bundle.constitution.name], "name")
    return Exported({f"{name}.json": data}, lost_in_chats(bundle, kept, numbered("principle", len(kept))))
