"""New files: all or none, nothing overwritten, and every character read back as it was."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from cai.commands.exchange import export_constitution, import_constitution
from cai.constitution import Principle, load_constitution
from cai.errors import InputError
from cai.exchange.bundle import Imported, NewFile
from cai.exchange.writing import write_imported, write_new
from cai.few_shot import RevisionExample, revision_examples
from cai.records import Message
from cai.yamlfile import parse_yaml, to_yaml

ODD = (
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r",
    "\r\n",
    "\x85",
    "\u2028",
    "\ufeff",
    "\0",
    "\x7f",
    "\u2019",
    "\U0001f600",
)
SIGNS = ("- ", "# ", ": ", ":", "|", ">", "'", '"', "{}", "[", "%", "@", "`", "&a", "*a", "!t", "---", "...", "<<", "=")
WORDS = ("no", "yes", "on", "null", "~", "true", "089", "0x1f", "0o7", "1e5", "1_0", ".inf", "1:30", "2024-01-01", "a")
texts = st.lists(st.sampled_from([*ODD, *SIGNS, *WORDS]) | st.text(max_size=6), max_size=12).map("".join)


@given(texts, texts, texts)
@example("no", "1e5", "089")
@example(" leading", "trailing  ", "two  spaces and a line \n of “its own”\n")
def test_yaml_gives_back_every_character(one: str, two: str, three: str) -> None:
    data = {
        "name": one,
        "examples": [{"id": two, "messages": [{"role": "user", "content": three}, {"content": one}]}, {"id": three}],
        "more": {"list": [one, two, three], "none": [], "nothing": {}},
    }
    assert parse_yaml(f"# A heading.\n{to_yaml(data)}", "f").data == data


@given(texts, texts)
def test_half_a_surrogate_pair_is_told_where_it_stands(before: str, after: str) -> None:
    text = to_yaml({"name": f"{before}\ud800{after}"})
    with pytest.raises(InputError, match="f:2: half a surrogate pair"):
        parse_yaml(f"# A heading.\n{text}", "f")


def test_yaml_for_people_keeps_order_and_shows_lines_as_lines() -> None:
    text = to_yaml({"b": "one\n\ntwo", "a": [{"id": "x", "text": "no"}], "c": "the “wiser”  one"})
    assert text == "b: |-\n  one\n\n  two\na:\n  - id: x\n    text: 'no'\nc: the “wiser”  one\n"


worded = texts.map(str.strip).filter(bool)


@settings(max_examples=25)
@given(worded, worded, texts, texts)
def test_principles_and_examples_are_loaded_as_they_were(critique: str, revision: str, said: str, answer: str) -> None:
    given_ = Principle.model_validate({"id": "a", "critique": critique, "revision": revision})
    shown = RevisionExample(
        id=said,
        messages=(Message(role="user", content=said), Message(role="assistant", content=answer)),
        critique_request=answer,
        critique=said,
        revision_request=said,
        revision=answer,
    )
    principle = given_.model_dump(include={"id", "critique", "revision"})
    imported = Imported(
        (
            NewFile("c.yaml", "constitution", {"name": "c", "principles": [principle]}, "x"),
            NewFile("e.yaml", "revisions", {"name": "e", "examples": [shown.model_dump(mode="json")]}, "x"),
        ),
        "c.yaml",
        "",
    )
    with TemporaryDirectory() as folder:
        rules, examples = (str(path) for path, _ in write_imported(imported, "paper", Path(folder)))
        assert load_constitution(rules).principles == (given_,)
        assert revision_examples(examples) == (shown,)


@pytest.mark.parametrize("there", ["paper.yaml", "few_shot/comparison.yaml"])
def test_nothing_is_overwritten_and_nothing_is_begun(released: Path, tmp_path: Path, there: str) -> None:
    path = tmp_path / "to" / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=f"^{path}: there already, and nothing is overwritten; name another folder"):
        import_constitution(Console(file=io.StringIO()), "paper", released, tmp_path / "to")
    assert path.read_text() == "mine"
    assert [one for one in (tmp_path / "to").rglob("*") if one.is_file()] == [path]


def test_an_export_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "harmless.json"
    path.write_text("mine")
    with pytest.raises(InputError, match="there already"):
        export_constitution(Console(file=io.StringIO()), "llm-swarm", "harmless", tmp_path)
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/to/a\.yaml: cannot be written \("):
        write_new(tmp_path / "file" / "to", {"a.yaml": "x"})


def test_an_unknown_form_is_told(tmp_path: Path) -> None:
    message, console = "no form 'distilabel'; expected one of paper, llm-swarm, nemo", Console(file=io.StringIO())
    with pytest.raises(InputError, match=message):
        import_constitution(console, "distilabel", tmp_path, tmp_path)
    with pytest.raises(InputError, match=message):
        export_constitution(console, "distilabel", "harmless", tmp_path)


def test_an_unknown_constitution_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'harmless'"):
        export_constitution(Console(file=io.StringIO()), "nemo", "harmles", tmp_path)
