"""Constitutions: every mistake with its line, draws by weight and seed, digests of what a stage sees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.constitution import Constitution, Principle, Use, check_constitution, load_constitution
from cai.errors import InputError
from cai.resources import shipped
from cai.yamlfile import parse_yaml

REVISION = {"critique": "Is it kind?", "revision": "Make it kind."}
COMPARISON = {"comparison": "Which is kinder?"}


def constitution(*principles: dict[str, Any]) -> Constitution:
    return Constitution.model_validate({"name": "test", "principles": principles})


def read(text: str) -> Constitution:
    return check_constitution(parse_yaml(text, "c.yaml"))


GOOD = """\
name: kind
principles:
  - id: both
    critique: Is it kind?
    revision: Make it kind.
    comparison: Which is kinder?
    weight: 2
    tags: [a]
  - id: judge-only
    comparison: Which is shorter?
"""


def test_a_good_file() -> None:
    found = read(GOOD)
    assert [principle.id for principle in found.principles] == ["both", "judge-only"]
    assert found.principles[0].weight == 2
    assert found.principles[1] == Principle.model_validate({"id": "judge-only", "comparison": "Which is shorter?"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: kind\n", "", "c.yaml:1: name: required and missing"),
        ("name: kind", "name: ' '", "c.yaml:1: name: string should have at least 1 character (found ' ')"),
        (
            "id: judge-only",
            "id: both",
            "c.yaml:9: principles.1.id: the id 'both' is taken on line 3; give each principle its own",
        ),
        (
            "    revision: Make it kind.\n",
            "",
            "c.yaml:3: principles.0: 'both' lacks 'revision'; critique and revision go together",
        ),
        (
            "    critique: Is it kind?\n",
            "",
            "c.yaml:3: principles.0: 'both' lacks 'critique'; critique and revision go together",
        ),
        (
            "    comparison: Which is shorter?\n",
            "",
            "c.yaml:9: principles.1: 'judge-only' serves no stage; give critique and revision, or comparison",
        ),
        (
            "comparison: Which is sh",
            "comparson: Which is sh",
            "c.yaml:10: principles.1.comparson: unknown key; did you mean 'comparison'?",
        ),
        ("weight: 2", "weight: 0", "c.yaml:7: principles.0.weight: input should be greater than 0 (found 0)"),
        ("weight: 2", "weight: .inf", "c.yaml:7: principles.0.weight: input should be a finite number (found inf)"),
        ("tags: [a]", "tags: a", "c.yaml:8: principles.0.tags: input should be a valid tuple (found 'a')"),
        ("  - id: judge-only\n", "  -\n", "c.yaml:10: principles.1.id: required and missing"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_place(old: str, new: str, message: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError) as caught:
        read(GOOD.replace(old, new))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["Two", "two words", "-x", "", "é"])
def test_an_id_is_a_plain_word(name: str) -> None:
    with pytest.raises(InputError, match=r"c\.yaml:9: principles\.1\.id: "):
        read(GOOD.replace("judge-only", f"'{name}'"))


def test_an_empty_constitution_is_a_mistake() -> None:
    with pytest.raises(InputError, match=r"c\.yaml:2: principles: .*at least 1 item"):
        read("name: kind\nprinciples: []")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read(GOOD.replace("judge-only", "both").replace("    revision: Make it kind.\n", ""))
    assert len(str(caught.value).splitlines()) == 2


def test_an_error_of_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: x\nprinciples: 3\n")
    with pytest.raises(InputError, match=rf"^{tmp_path}/mine\.yaml:2: principles: "):
        load_constitution("mine.yaml", beside=tmp_path)


def test_an_unknown_name_is_met_by_the_nearest_shipped_one() -> None:
    with pytest.raises(InputError, match="did you mean 'harmless'"):
        load_constitution("harmles")


@pytest.mark.parametrize("path", sorted(shipped("constitutions").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_constitution_loads_and_serves_a_stage(path: Path) -> None:
    found = load_constitution(path.stem)
    assert found.serving("revision") or found.serving("comparison")


@pytest.mark.parametrize(
    ("principle", "revision", "comparison"),
    [(REVISION, True, False), (COMPARISON, False, True), (REVISION | COMPARISON, True, True)],
)
def test_a_principle_serves_the_stages_it_has_text_for(
    principle: dict[str, str], revision: bool, comparison: bool
) -> None:
    found = constitution({"id": "x", **principle})
    assert (len(found.serving("revision")), len(found.serving("comparison"))) == (revision, comparison)


@pytest.mark.parametrize(
    ("use", "principle", "advice"),
    [("comparison", REVISION, "'comparison'"), ("revision", COMPARISON, "'critique' and 'revision'")],
)
def test_a_draw_for_a_stage_that_nothing_serves_says_what_to_write(
    use: Use, principle: dict[str, str], advice: str
) -> None:
    with pytest.raises(InputError, match=f"'test': no principle serves {use}; give one {advice}"):
        constitution({"id": "x", **principle}).draw(use, 0)


def test_draws_follow_weights_and_leave_out_what_does_not_serve() -> None:
    found = constitution(
        {"id": "rare", **COMPARISON, "weight": 1},
        {"id": "common", **COMPARISON, "weight": 3},
        {"id": "other", **REVISION, "weight": 100},
    )
    drawn = Counter(found.draw("comparison", seed).id for seed in range(4000))
    assert set(drawn) == {"rare", "common"}
    # 3000 expected, standard deviation 27.
    assert abs(drawn["common"] - 3000) < 140


@given(st.integers(0, 2**63 - 1))
def test_the_same_seed_draws_the_same_principle(seed: int) -> None:
    found = constitution(*({"id": f"p{index}", **REVISION} for index in range(7)))
    assert found.draw("revision", seed) == found.draw("revision", seed)


@pytest.mark.parametrize(
    ("change", "revision", "comparison"),
    [
        ({"critique": "Is it new?"}, True, False),
        ({"revision": "Renew it."}, True, False),
        ({"comparison": "Which is newer?"}, False, True),
        ({"weight": 2.0}, True, True),
        ({"id": "y"}, True, True),
        ({"notes": "new", "tags": ("new",)}, False, False),
    ],
)
def test_a_digest_changes_with_what_its_stage_sees_and_nothing_else(
    change: dict[str, Any], revision: bool, comparison: bool
) -> None:
    principle = {"id": "x", **REVISION, **COMPARISON}
    before, after = constitution(principle), constitution(principle | change)
    assert (before.digest_for("revision") != after.digest_for("revision")) is revision
    assert (before.digest_for("comparison") != after.digest_for("comparison")) is comparison


def test_a_principle_for_the_other_stage_leaves_a_digest_alone() -> None:
    one = constitution({"id": "x", **REVISION})
    two = constitution({"id": "x", **REVISION}, {"id": "y", **COMPARISON})
    assert one.digest_for("revision") == two.digest_for("revision")
    assert one.digest_for("comparison") != two.digest_for("comparison")
