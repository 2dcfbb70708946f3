"""Constitutions: every mistake with its line, draws by weight, round, tag and seed, digests of what a stage sees."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cai.constitution import Constitution, Principle, Use, check_constitution, load_constitution, seen
from cai.errors import InputError
from cai.few_shot import RevisionExample
from cai.resources import shipped
from cai.yamlfile import parse_yaml

USES: tuple[Use, ...] = ("revision", "direct", "comparison")
REVISION = {"critique": "Is it kind?", "revision": "Make it kind."}
COMPARISON = {"comparison": "Which is kinder?"}


def constitution(*principles: dict[str, Any]) -> Constitution:
    return Constitution.model_validate({"name": "test", "principles": principles})


def ids(principles: tuple[Principle, ...]) -> list[str]:
    return [principle.id for principle in principles]


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
            "c.yaml:3: principles.0.revision: 'both' has a 'critique' and no 'revision'; give both",
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
        (
            "weight: 2",
            "rounds: [0]",
            "c.yaml:7: principles.0.rounds.0: input should be greater than or equal to 1 (found 0)",
        ),
        (
            "weight: 2",
            "dialects: {chat: {critic: No.}}",
            "c.yaml:7: principles.0.dialects.chat.critic: unknown key; did you mean 'critique'?",
        ),
        (
            "weight: 2",
            "dialects: {klingon: {critique: No.}}",
            "c.yaml:7: principles.0.dialects.klingon: input should be 'chat' or 'transcript' (found 'klingon')",
        ),
        (
            "weight: 2",
            "tests: [{prompt: Hi, better: Hello}]",
            "c.yaml:7: principles.0.tests.0: a test has either 'better' and 'worse', or 'answer' and 'finds'",
        ),
        (
            "name: kind\n",
            "name: kind\nlanguage: english\n",
            "c.yaml:2: language: string should match pattern '^[a-z]{2}$' (found 'english')",
        ),
        (
            "name: kind\n",
            "name: kind\nfew_shot: {revison: mine.yaml}\n",
            "c.yaml:2: few_shot.revison: unknown key; did you mean 'revision'?",
        ),
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
    with pytest.raises(InputError, match=r"c\.yaml:2: principles: no principles; give at least one"):
        read("name: kind\nprinciples: []")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read(GOOD.replace("judge-only", "both").replace("    revision: Make it kind.\n", ""))
    told = caught.value.mistakes
    assert [(one.place, one.where) for one in told] == [
        ("c.yaml:8", "principles.1.id"),
        ("c.yaml:3", "principles.0.revision"),
    ]
    assert str(caught.value).splitlines() == [str(one) for one in told]


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
    assert found.able("revision") or found.able("comparison")


@pytest.mark.parametrize(
    ("principle", "uses"),
    [
        (REVISION, {"revision", "direct"}),
        ({"revision": "Make it kind."}, {"direct"}),
        (COMPARISON, {"comparison"}),
        (REVISION | COMPARISON, {"revision", "direct", "comparison"}),
    ],
)
def test_a_principle_serves_the_stages_it_has_text_for(principle: dict[str, str], uses: set[Use]) -> None:
    found = constitution({"id": "x", **principle})
    assert {use for use in USES if found.able(use)} == uses
    assert {use for use in USES if found.principles[0].serves(use)} == uses


@pytest.mark.parametrize(
    ("use", "principle", "advice"),
    [
        ("comparison", REVISION, "'comparison'"),
        ("revision", COMPARISON, "'critique' and 'revision'"),
        ("direct", COMPARISON, "'revision'"),
    ],
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
    drawn = Counter(name for seed in range(4000) for name in ids(found.draw("comparison", seed)))
    assert set(drawn) == {"rare", "common"}
    # 3000 expected, standard deviation 27.
    assert abs(drawn["common"] - 3000) < 140


@given(st.integers(0, 2**63 - 1), st.integers(1, 9))
def test_the_same_seed_draws_the_same_principles(seed: int, count: int) -> None:
    found = constitution(*({"id": f"p{index}", **REVISION} for index in range(7)))
    drawn = ids(found.draw("revision", seed, count))
    assert drawn == ids(found.draw("revision", seed, count))
    assert len(set(drawn)) == len(drawn) == min(count, 7)


def test_several_at_once_come_as_if_drawn_one_after_the_other_without_replacement() -> None:
    weights = {"a": 1.0, "b": 2.0, "c": 5.0}
    found = constitution(*({"id": name, **REVISION, "weight": weight} for name, weight in weights.items()))
    drawn = Counter(tuple(ids(found.draw("revision", seed, 3))) for seed in range(8000))
    for order in permutations(weights):
        left, expected = dict(weights), 1.0
        for name in order:
            expected *= left[name] / sum(left.values())
            del left[name]
        deviation = math.sqrt(8000 * expected * (1 - expected))
        assert abs(drawn[order] - 8000 * expected) < 5 * deviation, order


def test_what_is_spent_is_passed_over_as_long_as_others_are_left() -> None:
    found = constitution(*({"id": name, **REVISION} for name in "abc"))
    spent: list[str] = []
    for seed in range(3):
        spent += ids(found.draw("revision", seed, spent=spent))
    assert sorted(spent) == ["a", "b", "c"]
    assert {ids(found.draw("revision", seed, spent=spent))[0] for seed in range(60)} == {"a", "b", "c"}
    assert ids(found.draw("revision", 0, count=3, spent=["b"])) in (["a", "c"], ["c", "a"])


def test_rounds_and_tags_narrow_what_can_be_drawn() -> None:
    found = constitution(
        {"id": "first", **REVISION, "rounds": [1], "tags": ["harm"]},
        {"id": "later", **REVISION, "rounds": [2, 3], "tags": ["harm", "tone"]},
        {"id": "always", **REVISION, "tags": ["tone"]},
    )
    assert ids(found.able("revision")) == ["first", "later", "always"]
    assert ids(found.able("revision", 1)) == ["first", "always"]
    assert ids(found.able("revision", 2)) == ["later", "always"]
    assert ids(found.able("revision", 4)) == ["always"]
    assert ids(found.able("revision", 1, ["harm"])) == ["first"]
    assert ids(found.able("revision", tags=["harm", "tone"])) == ["first", "later", "always"]
    assert {ids(found.draw("revision", seed, round_=3, tags=("harm",)))[0] for seed in range(20)} == {"later"}
    with pytest.raises(InputError, match="no principle with a tag of harm serves revision in round 4; give one"):
        found.draw("revision", 0, round_=4, tags=("harm",))


# Words for one dialect.


def test_a_dialect_has_its_own_words_where_they_are_given() -> None:
    found = constitution(
        {
            "id": "x",
            **REVISION,
            **COMPARISON,
            "dialects": {"transcript": {"critique": "Unkind?", "comparison": "A or B?"}},
        },
        {"id": "y", **COMPARISON},
    )
    told = found.worded("transcript")
    (first, second) = told.principles
    assert (first.critique, first.revision, first.comparison) == ("Unkind?", "Make it kind.", "A or B?")
    assert second == found.principles[1]
    assert found.worded("chat").principles[0].critique == "Is it kind?"
    assert (told.name, told.few_shot) == (found.name, found.few_shot)


def test_draws_after_the_words_have_changed_are_in_the_new_words() -> None:
    found = constitution({"id": "x", **REVISION, "dialects": {"chat": {"critique": "Unkind?"}}})
    assert found.draw("revision", 0)[0].critique == "Is it kind?"
    assert found.worded("chat").draw("revision", 0)[0].critique == "Unkind?"
    assert found.draw("revision", 0)[0].critique == "Is it kind?"


# Worked examples.


def test_worked_examples_are_a_file_unless_they_are_written_here() -> None:
    example = """{id: a, messages: [{role: user, content: Hi}, {role: assistant, content: Go away.}],
      critique_request: Be kind., critique: No., revision_request: Make it kind., revision: Hello!}"""
    assert read(GOOD).few_shot.revision == "few_shot/critique_revision"
    assert read(f"{GOOD}few_shot: {{revision: mine.yaml}}\n").few_shot.revision == "mine.yaml"
    written = read(f"{GOOD}few_shot:\n  revision:\n    - {example}\n").few_shot
    assert [type(one) for one in written.revision] == [RevisionExample]
    assert written.comparison == "few_shot/comparison"


# What a stage sees.


@pytest.mark.parametrize(
    ("change", "uses"),
    [
        ({"critique": "Is it new?"}, {"revision"}),
        ({"revision": "Renew it."}, {"revision", "direct"}),
        ({"comparison": "Which is newer?"}, {"comparison"}),
        ({"weight": 2.0}, {*USES}),
        ({"id": "y"}, {*USES}),
        ({"rounds": (1,)}, {*USES}),
        ({"notes": "new", "tags": ("new",)}, set()),
        ({"tests": [{"prompt": "Hi", "better": "Hello", "worse": "Go"}]}, set()),
    ],
)
def test_a_digest_changes_with_what_its_stage_sees_and_nothing_else(change: dict[str, Any], uses: set[Use]) -> None:
    principle = {"id": "x", **REVISION, **COMPARISON}
    before, after = constitution(principle), constitution(principle | change)
    assert {use for use in USES if seen([before.able(use)], use) != seen([after.able(use)], use)} == uses


def test_a_digest_tells_the_pools_of_rounds_apart() -> None:
    one, two = constitution({"id": "x", **REVISION}).principles, constitution({"id": "y", **REVISION}).principles
    assert seen([one, two], "revision") != seen([two, one], "revision") != seen([one, one], "revision")
    assert seen([one, two], "revision") == seen([one[:], two[:]], "revision")
