"""Our files to the paper's and back: what that form holds comes back, and the rest is told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from paper_data import FILES, imported
from rich.console import Console

from cai.commands.exchange import export_constitution
from cai.constitution import Constitution, Principle, load_constitution
from cai.exchange.bundle import Bundle
from cai.exchange.paper import read_paper, write_paper
from cai.exchange.writing import write_exported, write_imported
from cai.few_shot import ComparisonExample, RevisionExample, comparison_examples, revision_examples
from cai.records import Message

SL, SHOTS, RL, PAIRS, COT = FILES

text = st.text(max_size=20)
word = st.text(min_size=1, max_size=20).map(lambda value: f"a{value}b")
turns = st.lists(word, min_size=1, max_size=5)


def talk(contents: list[str]) -> tuple[Message, ...]:
    return tuple(
        Message(role="assistant" if number % 2 else "user", content=one) for number, one in enumerate(contents)
    )


revisions = st.builds(
    lambda contents, said: RevisionExample(
        id="x",
        messages=talk(contents),
        critique_request=said[0],
        critique=said[1],
        revision_request=said[2],
        revision=said[3],
    ),
    st.lists(text, min_size=2, max_size=2) | st.lists(text, min_size=4, max_size=4),
    st.lists(text, min_size=4, max_size=4),
)
comparisons = st.builds(
    lambda contents, better, worse: ComparisonExample(id="x", messages=talk(contents), better=better, worse=worse),
    st.lists(text, min_size=1, max_size=1) | st.lists(text, min_size=3, max_size=3),
    text,
    text,
)
supervised = st.lists(st.tuples(word, word), min_size=1, max_size=3)


def bundle(
    pairs: list[tuple[str, str]], choices: list[str], shown: list[RevisionExample], judged: list[ComparisonExample]
) -> Bundle:
    principles = [
        Principle.model_validate({"id": f"s{n}", "critique": c, "revision": r}) for n, (c, r) in enumerate(pairs)
    ]
    principles += [
        Principle.model_validate({"id": f"comparison{number}", "comparison": one}) for number, one in enumerate(choices)
    ]
    return Bundle(
        Constitution.model_validate({"name": "c", "principles": principles}),
        tuple(one.model_copy(update={"id": f"example{number}"}) for number, one in enumerate(shown)),
        tuple(one.model_copy(update={"id": f"example{number}"}) for number, one in enumerate(judged)),
    )


@settings(max_examples=25)
@given(supervised, st.lists(word, max_size=3), st.lists(revisions, max_size=2), st.lists(comparisons, max_size=2))
def test_what_the_form_holds_comes_back_and_the_rest_is_told(
    pairs: list[tuple[str, str]], choices: list[str], shown: list[RevisionExample], judged: list[ComparisonExample]
) -> None:
    whole = bundle(pairs, choices, shown, judged)
    exported = write_paper(whole)
    assert exported.lost == ("the constitution's name",)
    with TemporaryDirectory() as folder:
        write_exported(exported, Path(folder) / "json")
        write_imported(read_paper(Path(folder) / "json"), "paper", Path(folder) / "yaml")
        ours = Path(folder) / "yaml"
        assert load_constitution(str(ours / "paper.yaml")).principles == whole.constitution.principles
        if shown:
            assert revision_examples(str(ours / "few_shot" / "critique_revision.yaml")) == whole.revisions
        if judged:
            assert comparison_examples(str(ours / "few_shot" / "comparison.yaml")) == whole.comparisons


def test_an_example_that_the_form_cannot_spell_is_named_and_left_out() -> None:
    good = RevisionExample(
        id="good", messages=talk(["a", "b"]), critique_request="c", critique="d", revision_request="e", revision="f"
    )
    broken = [
        good.model_copy(update={"id": "marker", "critique": "See:\n\nHuman: hi"}),
        good.model_copy(update={"id": "turns", "messages": talk(["a"])}),
        good.model_copy(update={"id": "system", "messages": (Message(role="system", content="s"), *talk(["a", "b"]))}),
    ]
    pair = ComparisonExample(id="pair", messages=talk(["a\n\nAssistant: b"]), better="x", worse="y")
    whole = bundle([("c", "r")], [], [], [])
    exported = write_paper(Bundle(whole.constitution, (good, *broken), (pair,)))
    assert len(exported.files[SHOTS]) == 1 and exported.files[PAIRS] == []
    for name in ("marker", "turns", "system", "pair"):
        assert f"the worked example {name}, which this form cannot spell" in exported.lost


def test_all_that_the_form_drops_is_told() -> None:
    rules = Constitution.model_validate(
        {
            "name": "mine",
            "language": "en",
            "system": "Be kind.",
            "opening": "Read:",
            "principles": [
                {"id": "both", "critique": "c", "revision": "r", "comparison": "?", "weight": 2, "tags": ["t"]},
                {"id": "direct", "revision": "r", "notes": "why"},
                {"id": "late", "comparison": "?", "notes": "why", "dialects": {"chat": {"comparison": "!"}}},
            ],
        }
    )
    seated = ComparisonExample(id="one", tags=("t",), messages=talk(["a"]), instruction="i", a="x", b="y", answer="B")
    exported = write_paper(Bundle(rules, (), (seated,)))
    assert exported.files[PAIRS] == [{"prompt": "\n\nHuman: a\n\nAssistant:", "corrects": ["y"], "incorrects": ["x"]}]
    assert list(exported.lost) == [
        "principles without critique, revision, comparison: direct",
        "weight of both",
        "tags of both",
        "dialects of late",
        "notes of late",
        "the constitution's name, language, system, opening",
        "that both serve revision and comparison: each is two when read back",
        "the ids of comparison principles: they are called comparison0, ... when read back",
        "the tags of the worked examples one",
        "the instructions of the worked comparisons one: drawn when read back",
        "the seats of the worked comparisons one: drawn when read back",
    ]


def test_the_released_files_come_back_from_an_export(data: Path, tmp_path: Path) -> None:
    imported(data, tmp_path / "ours")
    console = Console(file=io.StringIO(), width=400)
    export_constitution(console, "paper", str(tmp_path / "ours" / "paper.yaml"), tmp_path / "back")
    before, after = (
        {name: json.loads((folder / name).read_text("utf-8")) for name in (SL, SHOTS, RL, PAIRS)}
        for folder in (data, tmp_path / "back")
    )
    before[SHOTS][3] += "\n\nHuman:"
    assert after == before
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert text.count("warning:") == 1 and "the constitution's name, description, source, opening" in text
