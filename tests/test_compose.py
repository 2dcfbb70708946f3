"""Constitutions that extend others: what is inherited, changed and left out, and where each value stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cai.constitution import Constitution, check_constitution, load_constitution, read_constitution
from cai.errors import InputError

BASE = """\
name: base
description: The base.
language: en
system: Be kind.
few_shot: {revision: mine.yaml}
principles:
  - id: a
    critique: Is it kind?
    revision: Make it kind.
    tags: [tone, kindness]
  - id: b
    comparison: Which is kinder?
    weight: 3
    notes: From the base.
"""

Files = Callable[..., Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Writes files and gives the path of the last one."""

    def write(**texts: str) -> Path:
        paths = [tmp_path / f"{name}.yaml" for name in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text)
        return paths[-1]

    return write


def loaded(path: Path) -> Constitution:
    return check_constitution(read_constitution(path))


def complaints(path: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        loaded(path)
    return [line.removeprefix(f"{path.parent}/") for line in str(caught.value).splitlines()]


def ids(constitution: Constitution) -> list[str]:
    return [principle.id for principle in constitution.principles]


# What is inherited.


def test_a_constitution_that_extends_nothing_is_read_as_it_stands(files: Files) -> None:
    file = read_constitution(files(base=BASE))
    assert file.origins == {}
    assert ids(check_constitution(file)) == ["a", "b"]


def test_everything_but_what_names_a_constitution_is_inherited(files: Files) -> None:
    found = loaded(files(base=BASE, child="name: child\nextends: base.yaml\n"))
    assert ids(found) == ["a", "b"]
    assert (found.name, found.description, found.extends) == ("child", "", ("base.yaml",))
    assert (found.language, found.system) == ("en", "Be kind.")


def test_a_shipped_constitution_is_extended_by_its_name(files: Files) -> None:
    found = loaded(
        files(child="name: child\nextends: harmless\nprinciples: [{id: own, comparison: The kinder one.}]\n")
    )
    assert ids(found) == [*ids(load_constitution("harmless")), "own"]


def test_a_name_is_looked_for_beside_the_file_that_says_it(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "base.yaml").write_text(BASE.replace("id: a", "id: wrong"))
    monkeypatch.chdir(elsewhere)
    assert ids(loaded(files(base=BASE, child="name: child\nextends: base.yaml\n"))) == ["a", "b"]


def test_a_setting_given_again_is_changed_and_one_without_a_value_taken_away(files: Files) -> None:
    found = loaded(files(base=BASE, child="name: child\nextends: [base.yaml]\nlanguage: de\nsystem:\n"))
    assert (found.language, found.system) == ("de", None)


def test_worked_examples_are_inherited_one_by_one_and_found_from_anywhere(files: Files, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.yaml").write_text("")
    (tmp_path / "sub" / "base.yaml").write_text(BASE)
    found = loaded(files(child="name: child\nextends: sub/base.yaml\nfew_shot: {comparison: other.yaml}\n"))
    assert found.few_shot.revision == str(tmp_path / "sub" / "mine.yaml")
    assert found.few_shot.comparison == "other.yaml"


def test_a_principle_given_again_is_changed_key_by_key_where_it_stands(files: Files) -> None:
    child = """\
name: child
extends: base.yaml
principles:
  - id: c
    comparison: Which is shorter?
  - id: b
    weight: 5
    notes:
  - id: a
    tags: [tone]
    comparison: Which is warmer?
"""
    found = loaded(files(base=BASE, child=child))
    assert ids(found) == ["a", "b", "c"]
    a, b, _ = found.principles
    assert (a.critique, a.tags, a.comparison) == ("Is it kind?", ("tone",), "Which is warmer?")
    assert (b.comparison, b.weight, b.notes) == ("Which is kinder?", 5, "")


def test_principles_are_left_out_by_id_and_may_be_written_anew(files: Files) -> None:
    child = "name: child\nextends: base.yaml\nwithout: [b]\n"
    assert ids(loaded(files(base=BASE, child=child))) == ["a"]
    anew = loaded(files(base=BASE, child=f"{child}principles: [{{id: b, comparison: The shorter one.}}]\n"))
    assert (anew.principles[1].comparison, anew.principles[1].weight) == ("The shorter one.", 1)


def test_of_two_parents_the_later_one_is_laid_over_the_earlier(files: Files) -> None:
    other = "name: other\nlanguage: fr\nprinciples: [{id: c, comparison: The shorter one.}, {id: b, weight: 7}]\n"
    child = "name: child\nextends: [{}]\n"
    found = loaded(files(base=BASE, other=other, child=child.format("base.yaml, other.yaml")))
    assert (ids(found), found.language, found.system) == (["a", "b", "c"], "fr", "Be kind.")
    assert (found.principles[1].comparison, found.principles[1].weight) == ("Which is kinder?", 7)
    turned = loaded(files(base=BASE, other=other, child=child.format("other.yaml, base.yaml")))
    assert (ids(turned), turned.language, turned.principles[1].weight) == (["c", "b", "a"], "en", 3)


@pytest.mark.parametrize("order", ["base.yaml, middle.yaml", "middle.yaml, base.yaml", "base.yaml, base.yaml"])
def test_a_parent_that_comes_twice_brings_its_principles_once(files: Files, order: str) -> None:
    middle = "name: middle\nextends: base.yaml\n"
    assert ids(loaded(files(base=BASE, middle=middle, child=f"name: child\nextends: [{order}]\n"))) == ["a", "b"]


def test_a_grandchild_inherits_what_the_child_made_of_it(files: Files) -> None:
    child = "name: child\nextends: base.yaml\nwithout: [a]\nprinciples: [{id: b, weight: 5}]\n"
    grandchild = "name: grandchild\nextends: child.yaml\nprinciples: [{id: b, tags: [x]}]\n"
    found = loaded(files(base=BASE, child=child, grandchild=grandchild))
    assert [(one.id, one.weight, one.tags, one.comparison) for one in found.principles] == [
        ("b", 5, ("x",), "Which is kinder?")
    ]


# Where it stands.


def test_every_value_knows_the_file_and_line_it_comes_from(files: Files, tmp_path: Path) -> None:
    child = """\
name: child
extends: base.yaml
without: [a]
principles:
  - id: b
    weight: 5
  - id: c
    comparison: Which is shorter?
"""
    grandchild = "name: grandchild\nextends: child.yaml\nprinciples:\n  - id: c\n    rounds: [1]\n"
    file = read_constitution(files(base=BASE, child=child, grandchild=grandchild))
    places = {
        ("name",): "grandchild.yaml:1",
        ("language",): "base.yaml:3",
        ("principles", 0): "base.yaml:11",
        ("principles", 0, "comparison"): "base.yaml:12",
        ("principles", 0, "weight"): "child.yaml:6",
        ("principles", 0, "critique"): "base.yaml:11",
        ("principles", 1, "comparison"): "child.yaml:8",
        ("principles", 1, "rounds", 0): "grandchild.yaml:5",
    }
    assert {at: file.place(at) for at in places} == {at: f"{tmp_path}/{place}" for at, place in places.items()}


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("weight: 3", "weight: 0", "base.yaml:13: principles.1.weight: input should be greater than 0 (found 0)"),
        ("weight: 3", "weigth: 3", "base.yaml:13: principles.1.weigth: unknown key; did you mean 'weight'?"),
        ("language: en", "langauge: en", "base.yaml:3: langauge: unknown key; did you mean 'language'?"),
        (
            "    revision: Make it kind.\n",
            "",
            "base.yaml:7: principles.0.revision: 'a' has a 'critique' and no 'revision'; give both",
        ),
        (
            "- id: b",
            "- id: a",
            "base.yaml:11: principles.1.id: the id 'a' is taken on line 7; give each principle its own",
        ),
        ("- id: b", "- id: [b]", "base.yaml:11: principles.1.id: input should be a valid string"),
        ("  - id: b\n", "  -\n", "base.yaml:12: principles.1.id: required and missing"),
        (BASE, "", "base.yaml:1: expected a constitution: a mapping of settings"),
        (BASE, "principles: 3", "base.yaml:1: principles: expected a list of principles, found 3"),
        (BASE, "a: [", "base.yaml:1: not valid YAML: expected the node content, but found '<stream end>'"),
    ],
)
def test_a_mistake_in_a_parent_names_the_parent(files: Files, old: str, new: str, mistake: str) -> None:
    assert BASE.count(old) == 1
    path = files(base=BASE.replace(old, new), child="name: child\nextends: base.yaml\n")
    assert complaints(path) == [mistake]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            "principles: [{id: b, weight: 0}]",
            "child.yaml:3: principles.1.weight: input should be greater than 0 (found 0)",
        ),
        (
            "principles:\n  - id: a\n    revision:\n",
            "child.yaml:5: principles.0.revision: 'a' has a 'critique' and no 'revision'; give both",
        ),
        (
            "principles:\n  - {id: b, weight: 1}\n  - {id: b, weight: 2}\n",
            "child.yaml:5: principles.2: 'b' serves no stage; give critique and revision, or comparison",
        ),
        (
            "principles:\n  - {id: c, comparison: Kinder.}\n  - {id: c, comparison: Warmer.}\n",
            "child.yaml:5: principles.3.id: the id 'c' is taken on line 4; give each principle its own",
        ),
        ("principles: 3", "child.yaml:3: principles: expected a list of principles, found 3"),
        ("without: [c]", "child.yaml:3: without.0: no inherited principle has the id 'c'; there are: a, b"),
        ("without: [[a]]", "child.yaml:3: without.0: no inherited principle has the id ['a']; there are: a, b"),
        ("without: a", "child.yaml:3: without: input should be a valid tuple (found 'a')"),
        (
            "without: [a, b]",
            "child.yaml:2: principles: no principles; give at least one, or extend a constitution that has some",
        ),
        (
            "without: [a]\nprinciples:\n  - id: b\n    dialects: {chat: {critic: Unkind.}}\n",
            "child.yaml:6: principles.0.dialects.chat.critic: unknown key; did you mean 'critique'?",
        ),
    ],
)
def test_a_mistake_of_its_own_names_the_file_itself(files: Files, text: str, mistake: str) -> None:
    assert mistake in complaints(files(base=BASE, child=f"name: child\nextends: base.yaml\n{text}"))


@pytest.mark.parametrize(
    ("extends", "mistake"),
    [
        ("nowhere", "child.yaml:2: extends: no file 'nowhere' and nothing of that name ships in constitutions/"),
        ("[harmless, harmles]", "child.yaml:2: extends.1: no file 'harmles'"),
        ("''", "child.yaml:2: extends: no file ''"),
        ("3", "child.yaml:2: extends: expected the name or path of a constitution, found 3"),
        ("[[harmless]]", "child.yaml:2: extends.0: expected the name or path of a constitution, found ['harmless']"),
        ("n" * 5000, "child.yaml:2: extends: no file 'nnn"),
        (
            "child.yaml",
            "child.yaml:2: extends: child.yaml extends this constitution in its turn; let one of them stand alone",
        ),
    ],
)
def test_what_cannot_be_extended_is_told_where_it_is_named(files: Files, extends: str, mistake: str) -> None:
    (told,) = complaints(files(child=f"name: child\nextends: {extends}\n"))
    assert told.startswith(mistake)


def test_a_circle_is_told_where_it_closes(files: Files) -> None:
    circle = {name: f"name: {name}\nextends: {other}.yaml\n" for name, other in (("a", "b"), ("b", "c"), ("c", "a"))}
    (told,) = complaints(files(**circle))
    assert told == "b.yaml:2: extends: c.yaml extends this constitution in its turn; let one of them stand alone"


def test_leaving_something_out_without_inheriting_is_a_mistake(files: Files) -> None:
    (told,) = complaints(files(child=f"{BASE}without: [a]\n"))
    assert told == "child.yaml:15: without: nothing is inherited here; give 'extends', or leave this out"
