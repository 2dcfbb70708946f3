"""llm-swarm's file and NeMo-Aligner's files to ours and back; what they can't hold is told."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from cai.commands.exchange import export_constitution, import_constitution
from cai.constitution import Constitution, Principle, load_constitution
from cai.errors import InputError
from cai.exchange.bundle import Bundle
from cai.exchange.llm_swarm import read_llm_swarm, write_llm_swarm
from cai.exchange.nemo import EXAMPLES, read_nemo, write_nemo
from cai.exchange.writing import write_exported, write_imported
from cai.few_shot import ComparisonExample, RevisionExample, revision_examples
from cai.records import Message
from cai.resources import shipped

SAID = ("How do locks work?", "Find out.", "Tell me!", "No.", "Is it rude?", "Yes,  very.", "Mend it.", "With pins.")
ASKED = {"id": "example0", "critique_request": SAID[4], "critique": SAID[5], "revision_request": SAID[6]}


def chat(user: str = "user", assistant: str = "assistant", said: tuple[str, ...] = SAID) -> list[dict[str, str]]:
    return [{"role": (user, assistant)[number % 2], "content": text} for number, text in enumerate(said)]


SWARM: dict[str, Any] = {
    "system_chat": [chat(said=SAID[2:]), chat()],
    "constitutions": [{"critic": "Is it rude?", "revision": " no "}, {"critic": "Is it\ntrue?", "revision": "1e5"}],
}
INSTRUCTIONS = {
    f"harmful{number}": {
        "prompt": [f"\n\nCritiqueRequest: {critique}\n\nCritique:"],
        "edit_request": "\n\nRevisionRequest: Mend it.\n\nRevision:",
    }
    for number, critique in enumerate(("Is it rude?", "Is it true?"))
}


def run(command: Any, *arguments: Any) -> str:
    console = Console(file=io.StringIO(), width=400)
    command(console, *arguments)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")
    return path


def test_a_file_of_llm_swarm_becomes_a_constitution_and_its_examples(tmp_path: Path) -> None:
    text = run(import_constitution, "llm-swarm", written(tmp_path / "My Rules.json", SWARM), tmp_path / "to")
    rules = load_constitution(str(tmp_path / "to" / "my-rules.yaml"))
    assert rules.name == "my-rules" and rules.few_shot.revision == "few_shot/my-rules.yaml"
    assert [(p.id, p.critique, p.revision) for p in rules.principles] == [
        ("principle0", "Is it rude?", "no"),
        ("principle1", "Is it\ntrue?", "1e5"),
    ]
    short, long = revision_examples(str(tmp_path / "to" / "few_shot" / "my-rules.yaml"))
    assert [message.content for message in short.messages] == list(SAID[2:4])
    assert [(m.role, m.content) for m in long.messages] == [
        ("user", SAID[0]),
        ("assistant", SAID[1]),
        ("user", SAID[2]),
        ("assistant", SAID[3]),
    ]
    assert long.model_dump(include=set(ASKED)) == ASKED | {"id": "example1"}
    assert (short.critique, short.revision) == (SAID[5], SAID[7])
    assert "2 principles" in text and "2 examples" in text and "MIT" in text and "note:" not in text


def test_llm_swarm_without_examples_keeps_those_that_ship(tmp_path: Path) -> None:
    path = written(tmp_path / "rules.json", {"constitutions": SWARM["constitutions"]})
    text = run(import_constitution, "llm-swarm", path, tmp_path / "to")
    assert load_constitution(str(tmp_path / "to" / "rules.yaml")).few_shot.revision == "few_shot/critique_revision"
    assert "no system_chat" in text and list((tmp_path / "to").iterdir()) == [tmp_path / "to" / "rules.yaml"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"input should be a valid dictionary"),
        ({"constitution": []}, r"constitutions: field required\n.*constitution: extra inputs"),
        ({"constitutions": []}, r"constitutions: .*at least 1"),
        ({"constitutions": [{"critique": "x", "revision": "y"}]}, r"constitutions\.0\.critic: field required"),
        ({**SWARM, "system_chat": [chat()[:5]]}, r"system_chat\.0: expected .*found user, assistant, user"),
        ({**SWARM, "system_chat": [chat()[:-1]]}, r"system_chat\.0: expected a conversation that ends with an answer"),
        ({**SWARM, "system_chat": [[]]}, r"system_chat\.0: .*found nothing"),
        ({**SWARM, "system_chat": [chat("human")]}, r"system_chat\.0\.0\.role: .*\(found 'human'\)"),
    ],
)
def test_what_is_no_file_of_llm_swarm_is_told(tmp_path: Path, content: Any, message: str) -> None:
    path = written(tmp_path / "rules.json", content)
    with pytest.raises(InputError, match=f"^{path}: {message}"):
        read_llm_swarm(path)


@pytest.mark.parametrize("names", [("User", "Assistant"), ("user", "assistant")], ids=["as asked for", "small"])
def test_a_folder_of_nemo_becomes_a_constitution_and_its_examples(tmp_path: Path, names: tuple[str, str]) -> None:
    written(tmp_path / "cai" / "CritiqueRevisionInstructions.json", INSTRUCTIONS)
    written(tmp_path / "cai" / EXAMPLES, {"samples": [chat(*names)]})
    run(import_constitution, "nemo", tmp_path / "cai", tmp_path / "to")
    rules = load_constitution(str(tmp_path / "to" / "nemo.yaml"))
    assert [(p.id, p.critique) for p in rules.principles] == [("harmful0", "Is it rude?"), ("harmful1", "Is it true?")]
    (example,) = revision_examples(str(rules.few_shot.revision), None, tmp_path / "to")
    assert example.model_dump(include=set(ASKED)) == ASKED and example.messages[-1].role == "assistant"


def test_nemo_s_instructions_alone_keep_the_examples_that_ship(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.json", INSTRUCTIONS)
    text = run(import_constitution, "nemo", path, tmp_path / "to")
    assert f"note: no {EXAMPLES} was read" in text and "from mine.json" in (tmp_path / "to" / "nemo.yaml").read_text()


def test_what_is_no_file_of_nemo_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"CritiqueRevisionInstructions\.json: cannot be read"):
        read_nemo(tmp_path)
    with pytest.raises(InputError, match="holds no instructions"):
        read_nemo(written(tmp_path / "empty.json", {}))
    written(tmp_path / "CritiqueRevisionInstructions.json", INSTRUCTIONS)
    (tmp_path / EXAMPLES).write_text('{"samples": [[\n{"role": "user"}')
    with pytest.raises(InputError, match=rf"{EXAMPLES}:2: not JSON"):
        read_nemo(tmp_path)


def test_nemo_gets_the_keys_and_roles_that_it_asks_for(tmp_path: Path) -> None:
    text = run(export_constitution, "nemo", "harmless", tmp_path / "to")
    found = json.loads((tmp_path / "to" / "CritiqueRevisionInstructions.json").read_text("utf-8"))
    assert list(found) == [f"harmful{number}" for number in range(len(found))]
    samples = json.loads((tmp_path / "to" / EXAMPLES).read_text("utf-8"))["samples"]
    assert {message["role"] for sample in samples for message in sample} == {"User", "Assistant"}
    rules = load_constitution("harmless")
    left_out = [p.id for p in rules.principles if not p.serves("revision")]
    assert f"not in this form: principles without critique, revision: {', '.join(left_out)}\n" in text
    assert "not in this form: the ids of principles: they are called harmful0, ..." in text
    assert "not in this form: 4 worked comparisons" in text


def test_a_shipped_constitution_comes_back_from_llm_swarm_s_form(tmp_path: Path) -> None:
    run(export_constitution, "llm-swarm", "harmless", tmp_path / "to")
    run(import_constitution, "llm-swarm", tmp_path / "to" / "harmless.json", tmp_path / "back")
    before, after = load_constitution("harmless"), load_constitution(str(tmp_path / "back" / "harmless.yaml"))
    assert [(p.critique, p.revision) for p in after.principles] == [
        (p.critique, p.revision) for p in before.able("revision")
    ]
    kept = {"messages", *ASKED, "revision"} - {"id"}
    shown = revision_examples(str(after.few_shot.revision), None, tmp_path / "back")
    assert [one.model_dump(include=kept) for one in shown] == [
        one.model_dump(include=kept) for one in revision_examples(str(before.few_shot.revision))
    ]


def test_examples_beside_a_constitution_or_within_it_are_exported(tmp_path: Path) -> None:
    example = (shipped("prompts") / "few_shot" / "critique_revision.yaml").read_text("utf-8")
    (tmp_path / "mine.yaml").write_text(example.replace("coat-joke", "own-joke"), "utf-8")
    rules = "name: c\nprinciples: [{id: a, critique: x, revision: y}]\nfew_shot: {revision: mine.yaml, comparison: []}"
    (tmp_path / "c.yaml").write_text(rules)
    text = run(export_constitution, "llm-swarm", str(tmp_path / "c.yaml"), tmp_path / "to")
    assert "they are called example0, ..." in text and "the tags of the worked examples own-joke" in text
    assert len(json.loads((tmp_path / "to" / "c.json").read_text("utf-8"))["system_chat"]) == 5
    (tmp_path / "c.yaml").write_text(rules.replace("mine.yaml", "[]"))
    run(export_constitution, "nemo", str(tmp_path / "c.yaml"), tmp_path / "bare")
    assert [path.name for path in (tmp_path / "bare").iterdir()] == ["CritiqueRevisionInstructions.json"]


word = st.text(max_size=20).map(lambda value: f"a{value}b")
revisions = st.builds(
    lambda talk, said: RevisionExample(
        id="x",
        messages=tuple(Message(role="assistant" if n % 2 else "user", content=one) for n, one in enumerate(talk)),
        critique_request=said[0],
        critique=said[1],
        revision_request=said[2],
        revision=said[3],
    ),
    st.lists(st.text(max_size=9), min_size=2, max_size=2) | st.lists(st.text(max_size=9), min_size=4, max_size=4),
    st.lists(st.text(max_size=9), min_size=4, max_size=4),
)


@pytest.mark.parametrize("form", ["llm-swarm", "nemo"])
@settings(max_examples=15)
@given(st.lists(st.tuples(word, word), min_size=1, max_size=3), st.lists(revisions, max_size=2))
def test_what_a_form_holds_comes_back(form: str, pairs: list[tuple[str, str]], shown: list[RevisionExample]) -> None:
    read, write, key = {
        "llm-swarm": (read_llm_swarm, write_llm_swarm, "principle"),
        "nemo": (read_nemo, write_nemo, "harmful"),
    }[form]
    principles = tuple(
        Principle.model_validate({"id": f"{key}{number}", "critique": critique, "revision": revision})
        for number, (critique, revision) in enumerate(pairs)
    )
    examples = tuple(one.model_copy(update={"id": f"example{number}"}) for number, one in enumerate(shown))
    rules = Constitution.model_validate({"name": "nemo", "principles": principles})
    exported = write(Bundle(rules, examples, ()))
    assert exported.lost == ("the constitution's name",)
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_exported(exported, folder / "json")
        write_imported(read(paths[0] if form == "llm-swarm" else folder / "json"), form, folder / "yaml")
        rules = load_constitution(str(folder / "yaml" / "nemo.yaml"))
        assert rules.principles == principles
        if examples:
            assert revision_examples(rules.few_shot.revision, None, folder / "yaml") == examples


def test_an_example_without_an_answer_to_criticise_is_refused() -> None:
    example = RevisionExample(
        id="odd",
        messages=(Message(role="user", content="Hi"),),
        critique_request="c",
        critique="c",
        revision_request="r",
        revision="r",
    )
    rules = Constitution.model_validate({"name": "c", "principles": [{"id": "a", "critique": "x", "revision": "y"}]})
    with pytest.raises(InputError, match="'odd' does not end with an answer to criticise"):
        write_llm_swarm(Bundle(rules, (example,), ()))


def test_worked_comparisons_and_further_fields_are_told_as_lost() -> None:
    rules = Constitution.model_validate(
        {
            "name": "c",
            "principles": [
                {"id": "principle0", "critique": "x", "revision": "y", "comparison": "z", "rounds": [1]},
                {"id": "judged", "comparison": "z"},
            ],
        }
    )
    pair = ComparisonExample(id="p", messages=(Message(role="user", content="Hi"),), better="x", worse="y")
    assert write_llm_swarm(Bundle(rules, (), (pair,))).lost == (
        "principles without critique, revision: judged",
        "comparison of principle0",
        "rounds of principle0",
        "the constitution's name",
        "1 worked comparisons",
    )
