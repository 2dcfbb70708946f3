"""`cai init` and `cai lint`: what is written, what it is worth, and what is printed."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.commands.drafts import TEMPLATES, check, start
from cai.commands.runs import run_recipe
from cai.config import load_recipe
from cai.constitution import Constitution, FewShot, Principle, Wording, load_constitution
from cai.errors import InputError
from cai.lint.mirrors import UNEVEN
from cai.lint.rules import RULES
from cai.lint.wording import ALIKE, LONGEST
from cai.material import Material
from cai.principle_tests import PrincipleTest
from cai.resources import shipped
from cai.store import RunFolder
from cai.yamlfile import read_yaml


def started(name: str, to: Path = Path(), extends: str | None = None) -> str:
    """What is printed."""
    printed = io.StringIO()
    start(Console(file=printed, width=60), name, to, extends)
    return printed.getvalue()


def checked(name: str, as_json: bool = False, strict: bool = False) -> tuple[int, str]:
    """The exit code, and what is printed."""
    printed = io.StringIO()
    return check(Console(file=printed, width=60), name, as_json, strict), printed.getvalue()


def code_of(name: str) -> int:
    return checked(name, strict=True)[0]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What is written.


def test_init_writes_two_files_and_says_what_to_type_next(here: Path) -> None:
    printed = started("mine", Path("my rules"))
    assert sorted(path.name for path in (here / "my rules").iterdir()) == ["mine-recipe.yaml", "mine.yaml"]
    assert re.findall(r"^  (cai \w+ '[^']+')", printed, flags=re.M) == [
        "cai lint 'my rules/mine.yaml'",
        "cai test 'my rules/mine.yaml'",
        "cai try 'my rules/mine.yaml'",
        "cai run 'my rules/mine-recipe.yaml'",
    ]


@pytest.mark.parametrize("extends", [None, "harmless", "helpful"])
def test_what_is_written_has_no_mistakes_and_leaves_no_doubt(extends: str | None) -> None:
    started("mine", extends=extends)
    code, printed = checked("mine.yaml", strict=True)
    assert (code, printed.splitlines()[-1].endswith(": no mistakes")) == (0, True), printed


@pytest.mark.parametrize("extends", [None, "harmless"])
def test_what_is_written_names_every_field_and_all_that_is_off_can_be_turned_on(
    here: Path, extends: str | None
) -> None:
    started("mine", extends=extends)
    text = (here / "mine.yaml").read_text("utf-8")
    for model in (Constitution, FewShot, Principle, Wording, PrincipleTest):
        missing = [name for name in model.model_fields if not re.search(rf"\b{name}\b", text)]
        assert missing == [], model
    on = re.sub(r"^( *)#(?=[^ \n])", r"\1", text, flags=re.M)
    (here / "on.yaml").write_text(on)
    found = load_constitution("on.yaml", here)
    assert found.language and found.system and found.opening and found.extends and found.without
    assert any(one.weight != 1 for one in found.principles)
    assert any(one.rounds for one in found.principles)
    assert any(one.dialects for one in found.principles)
    own = found.principles[0 if extends is None else -1]
    assert own.serves("contrast") and own.serves("comparison")
    assert code_of("on.yaml") == 0


def test_the_recipe_has_the_settings_of_the_quickstart(here: Path) -> None:
    started("mine")
    own, other = read_yaml(here / "mine-recipe.yaml").data, read_yaml(shipped("recipes") / "quickstart.yaml").data
    differing = {"name", "description", "constitution"}
    assert {key: value for key, value in own.items() if key not in differing} == {
        key: value for key, value in other.items() if key not in differing
    }
    assert (own["name"], own["constitution"]) == ("mine", "mine.yaml")


def test_the_recipe_finds_its_constitution_from_anywhere(here: Path) -> None:
    started("mine", here / "sub")
    material = Material(load_recipe("sub/mine-recipe.yaml"), here / "sub")
    material.load()
    assert material.constitution.name == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("extends", [None, "harmless"])
def test_a_run_of_what_is_written_criticises_and_revises(here: Path, extends: str | None) -> None:
    started("mine", extends=extends)
    run_recipe(Console(file=io.StringIO()), "mine-recipe.yaml", ["engine={type: scripted}"], here / "runs", "revise")
    assert RunFolder(here / "runs", "mine").steps["revise"].done


def test_a_draft_extends_a_draft_in_another_folder(here: Path) -> None:
    started("first", Path("a"))
    started("second", Path("b"), extends="a/first.yaml")
    text = (here / "b" / "second.yaml").read_text("utf-8")
    assert 'extends: "../a/first.yaml"' in text
    assert "#   no-harm-to-others, gives-reasons, nothing-made-up" in text
    assert code_of("b/second.yaml") == 0
    assert [one.id for one in load_constitution("b/second.yaml").principles][:2] == [
        "no-harm-to-others",
        "gives-reasons",
    ]


# What is refused.


@pytest.mark.parametrize("name", ["", "a b", "a/b", "../a", "-a", "_a", "a.b", "é", "a\n"])
def test_a_name_is_letters_digits_and_dashes(here: Path, name: str) -> None:
    with pytest.raises(InputError, match="can't be a name"):
        started(name)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("taken", ["mine.yaml", "mine-recipe.yaml"])
def test_nothing_is_overwritten_and_nothing_is_written_halfway(here: Path, taken: str) -> None:
    (here / taken).write_text("kept")
    with pytest.raises(InputError, match=f"^{taken} is there already"):
        started("mine")
    assert [(path.name, path.read_text()) for path in here.iterdir()] == [(taken, "kept")]


def test_a_folder_that_cannot_be_made_is_named(here: Path) -> None:
    (here / "file").write_text("")
    with pytest.raises(InputError, match=r"file/mine\.yaml: cannot be written \("):
        started("mine", Path("file"))


@pytest.mark.parametrize(("extends", "told"), [("harmles", "did you mean 'harmless'"), ("bad.yaml", r"bad\.yaml:1: ")])
def test_what_is_extended_must_be_there_and_have_no_mistakes(here: Path, extends: str, told: str) -> None:
    (here / "bad.yaml").write_text("name: bad\n")
    with pytest.raises(InputError, match=told):
        started("mine", extends=extends)
    assert [path.name for path in here.iterdir()] == ["bad.yaml"]


# What lint prints.

DOUBTFUL = """\
name: doubtful
extends: good.yaml
principles:
  - id: own
    comparison: >-
      Which answer is kind?
"""


def doubtful(here: Path) -> None:
    started("good")
    (here / "doubtful.yaml").write_text(DOUBTFUL)


def test_lint_prints_each_warning_with_its_line_and_counts_them(here: Path) -> None:
    doubtful(here)
    code, printed = checked("doubtful.yaml")
    first, last = printed.splitlines()
    assert code == 0
    assert first.startswith("doubtful.yaml:5: warning: principles.3.comparison: asks for no more and no less")
    assert first.endswith("[no-direction]")
    assert last == ("doubtful: 4 principles, 3 for critique and revision, 4 for comparison: no mistakes, 1 warning")
    assert checked("doubtful.yaml", strict=True)[0] == 1


def test_lint_gives_warnings_as_json(here: Path) -> None:
    doubtful(here)
    code, printed = checked("doubtful.yaml", as_json=True)
    told = json.loads(printed)
    assert code == 0
    assert (told["file"], told["mistakes"]) == ("doubtful.yaml", [])
    (warning,) = told["warnings"]
    assert list(warning) == ["rule", "file", "line", "where", "message"]
    assert [warning[key] for key in ("rule", "file", "line", "where")] == [
        "no-direction", "doubtful.yaml", 5, "principles.3.comparison"
    ]  # fmt: skip
    assert checked("doubtful.yaml", as_json=True, strict=True)[0] == 1


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        (
            "name: x\nprinciples:\n  - id: a\n    critique: Unkind?\n  - id: b\n",
            [("x.yaml", 3, "principles.0.revision"), ("x.yaml", 5, "principles.1")],
        ),
        (
            "name: x\nprinciples: [{id: a, weight: 0, rounds: [0]}]\n",
            [("x.yaml", 2, "principles.0.weight"), ("x.yaml", 2, "principles.0.rounds.0")],
        ),
        ("name: [\n", [("x.yaml", 2, "")]),
        ("name: x\nextends: y\n", [("x.yaml", 2, "extends")]),
        (
            "name: x\nfew_shot: {revision: y}\nprinciples: [{id: a, comparison: Kinder.}]\n",
            [("x.yaml", 2, "few_shot.revision")],
        ),
        (
            "name: x\nfew_shot: {comparison: z.yaml}\nprinciples: [{id: a, comparison: Kinder.}]\n",
            [("z.yaml", 1, "examples")],
        ),
        (
            "name: x\nfew_shot: {reasoning: z.yaml}\nprinciples: [{id: a, comparison: Kinder.}]\n",
            [("z.yaml", 1, "examples")],
        ),
        ("\udcff", [("x.yaml", None, "")]),
    ],
)
def test_lint_gives_mistakes_as_json(here: Path, text: str, mistakes: list[Any]) -> None:
    (here / "x.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    (here / "z.yaml").write_text("name: z\n")
    code, printed = checked("x.yaml", as_json=True)
    told = json.loads(printed)
    assert (code, told["file"], told["warnings"]) == (2, "x.yaml", [])
    assert [(one["file"], one["line"], one["where"]) for one in told["mistakes"]] == mistakes
    assert all(one["message"] for one in told["mistakes"])
    with pytest.raises(InputError) as caught:
        checked("x.yaml")
    assert len(str(caught.value).splitlines()) == len(mistakes)


def test_lint_gives_an_unknown_name_as_json() -> None:
    code, printed = checked("harmles", as_json=True)
    (mistake,) = json.loads(printed)["mistakes"]
    assert (code, mistake["file"], mistake["line"], mistake["where"]) == (2, None, None, "")
    assert "did you mean 'harmless'" in mistake["message"]


# What is said of it elsewhere.


def test_the_page_for_newcomers_tells_every_rule_and_field() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "constitutions.md").read_text("utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \|", page.split("## What lint finds")[1], flags=re.M) == list(RULES)
    named = {name for model in (Constitution, Principle, PrincipleTest) for name in model.model_fields}
    assert {name for name in named if f"`{name}`" not in page} == set()
    assert f"{ALIKE * 100:.0f} %" in page
    assert f"{LONGEST} words" in page
    assert f"{UNEVEN} times" in page


def test_the_drafts_lie_inside_the_package() -> None:
    assert sorted(path.name for path in TEMPLATES.iterdir()) == ["constitution.yaml.jinja", "recipe.yaml.jinja"]
