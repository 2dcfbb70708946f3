"""Chains under chosen principles: which principle each round has, and how two constitutions go in step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trial_engine import Taste, material, serve, text_of

from cai.config import ReviseConfig
from cai.constitution import Constitution, check_constitution
from cai.engines.base import Speaker
from cai.engines.pool import Pool
from cai.errors import InputError
from cai.prompts import Rendered
from cai.records import Message, Prompt, Revision
from cai.stages.revise import STOPPED, Revise
from cai.trials.chains import chosen, in_step, stages
from cai.yamlfile import parse_yaml

THREE = """\
name: three
system: Be brief.
principles:
  - {id: one, critique: CRITIQUE ONE, revision: REVISION ONE, tags: [harm]}
  - {id: two, critique: CRITIQUE TWO, revision: REVISION TWO, rounds: [1, 3]}
  - {id: three, critique: CRITIQUE THREE, revision: REVISION THREE, dialects: {chat: {critique: CHAT THREE}}}
  - {id: plain, revision: REVISION PLAIN}
  - {id: judge, comparison: Which one}
"""
OTHER = "name: other\nprinciples: [{id: only, critique: CRITIQUE ONLY, revision: REVISION ONLY}]\n"
PROMPT = Prompt.of((Message(role="user", content="QUESTION"),), "harmful", "test")


class _Plain:
    """Templates that show nothing: which principle is drawn does not hang on them."""

    def render(self, step: str, **variables: Any) -> Any:
        return Rendered(text="GOOD BAD")


PLAIN: Any = _Plain()


def rules(text: str = THREE) -> Constitution:
    return check_constitution(parse_yaml(text, "three.yaml"))


def drawn(names: list[str], seed: int = 0, **settings: Any) -> list[tuple[str, ...]]:
    """The ids that each round of a chain draws."""
    constitution, config = chosen(rules(), names, ReviseConfig.model_validate({"few_shot": 0, **settings}))
    stage = Revise(Speaker(Taste(says="reply"), PLAIN), constitution, (), config, seed)
    return principles_of(stage)


def principles_of(stage: Revise) -> list[tuple[str, ...]]:
    return [record.principles for record in walk([stage])[0][1:] if record]


def walk(chains: list[Revise], pool: Pool | None = None) -> list[list[Revision | None]]:
    """The records of every chain, round by round, as `in_step` tells them."""

    async def all_rounds() -> list[tuple[Revision | None, ...]]:
        return [records async for records in in_step(chains, PROMPT)]

    if pool:
        return [list(chain) for chain in zip(*pool.run(all_rounds()), strict=True)]
    with Pool(lambda model: None) as own:
        return walk(chains, own)


# Chosen principles.


def test_each_round_has_the_principle_named_for_it() -> None:
    assert drawn(["three", "one", "three"], rounds=1) == [("three",), ("one",), ("three",)]


@pytest.mark.parametrize("settings", [{"tags": ["harm"]}, {"round_tags": {1: ["harm"], 2: ["harm"]}}])
def test_a_named_principle_needs_no_tag_and_no_round(settings: dict[str, Any]) -> None:
    assert drawn(["three", "two"], rounds=2, **settings) == [("three",), ("two",)]


@pytest.mark.parametrize("seed", range(5))
def test_rounds_beyond_the_named_ones_draw_as_the_constitution_says(seed: int) -> None:
    (first, second, third) = drawn(["one"], seed, rounds=3)
    assert first == ("one",)
    assert second[0] in {"one", "three"}
    assert third[0] in {"one", "two", "three"}
    assert drawn(["three"], seed, rounds=2, tags=["harm"]) == [("three",), ("one",)]


def test_without_names_the_draws_are_those_of_a_run() -> None:
    config = ReviseConfig(rounds=6, few_shot=0)
    for seed in range(5):
        run = Revise(Speaker(Taste(says="reply"), PLAIN), rules(), (), config, seed)
        assert drawn([], seed, rounds=6) == principles_of(run)


def test_a_constitution_that_has_drawn_keeps_its_own_pools() -> None:
    constitution = rules()
    before = constitution.draw("revision", 0, round_=1)
    changed, _ = chosen(constitution, ["three"], ReviseConfig(rounds=1))
    assert [one.id for one in changed.able("revision", 1)] == ["three"]
    assert constitution.draw("revision", 0, round_=1) == before
    assert len(constitution.able("revision", 1)) == 3


def test_one_chain_is_tried_however_many_a_run_has() -> None:
    assert len(drawn(["one"], samples=3)) == 4


def test_a_principle_without_a_critique_serves_direct_revision() -> None:
    assert drawn(["plain"], rounds=1, critique=False) == [("plain",)]


@pytest.mark.parametrize(
    ("names", "critique", "told"),
    [
        (["tow"], True, "constitution 'three' has no principle 'tow'; did you mean 'two'?"),
        (["one", "judge"], True, "constitution 'three': judge cannot be tried; give it a critique and a revision"),
        (["plain"], True, "plain cannot be tried; give it a critique and a revision"),
        (["judge"], False, "judge cannot be tried; give it a revision"),
    ],
)
def test_a_name_that_cannot_be_tried_is_an_error(names: list[str], critique: bool, told: str) -> None:
    with pytest.raises(InputError) as caught:
        chosen(rules(), names, ReviseConfig(critique=critique))
    assert told in str(caught.value)


# In step.


def test_two_constitutions_start_from_one_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Taste(says="reply")
    opened = serve(monkeypatch, engine)
    materials = [material(tmp_path, THREE, "revise.rounds=2")]
    (tmp_path / "second").mkdir()
    materials.append(material(tmp_path / "second", OTHER, "revise.rounds=2"))
    with Pool(lambda model: None) as pool:
        first, second = walk(stages(materials, [], pool), pool)
    assert first[0] is second[0]
    assert [record and record.round for record in first] == [record and record.round for record in second] == [0, 1, 2]
    assert [record and record.principles for record in second[1:]] == [("only",), ("only",)]
    assert len(opened) == 1, "one model is one engine"
    asked = [text_of(request.prompt) for request in engine.requests]
    assert len(asked) == 1 + 4 + 4
    assert sum("Be brief." in text for text in asked) == 5, "the second has no system prompt"
    assert sum("CRITIQUE ONLY" in text for text in asked) == 4


def test_the_words_are_those_of_the_assistants_dialect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Taste(says="reply")
    serve(monkeypatch, engine)
    with Pool(lambda model: None) as pool:
        walk(stages([material(tmp_path, THREE, "revise.rounds=1")], ["three"], pool), pool)
    asked = [text_of(request.prompt) for request in engine.requests]
    assert "CHAT THREE" in asked[1]
    assert "REVISION THREE" in asked[2]


def test_a_chain_that_ends_waits_for_the_other() -> None:
    class Satisfied(Taste):
        async def score(self, prompt: Any, labels: Any) -> list[float]:
            return [-9.0, -0.1]

    config = ReviseConfig(rounds=3, few_shot=0)
    ending = Revise(Speaker(Satisfied(says="reply"), PLAIN), rules(), (), config.model_copy(update={"stop": 0.5}), 0)
    going = Revise(Speaker(Taste(says="reply"), PLAIN), rules(), (), config, 0)
    first, second = walk([ending, going])
    assert first[1] and STOPPED in first[1].flags
    assert [record is None for record in first] == [False, False, True, True]
    assert [record and record.round for record in second] == [0, 1, 2, 3]
