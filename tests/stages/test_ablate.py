"""Ablations: the same first answers, the same draws, one thing changed."""

from __future__ import annotations

from typing import Any

import pytest
from recorder import PROMPT, Recorder, collect, text_of

from cai.config import AblateConfig, ReviseConfig
from cai.constitution import Constitution
from cai.engines.base import Speaker
from cai.errors import InputError
from cai.prompts import Templates
from cai.records import Message, Prompt, Revision
from cai.stages.ablate import Ablate, drawable, variants
from cai.stages.revise import Revise

CONSTITUTION = Constitution.model_validate(
    {
        "name": "test",
        "principles": [
            {"id": "judge", "comparison": "COMPARISON"},
            {"id": "one", "critique": "CRITIQUE ONE", "revision": "REVISION ONE", "tags": ["a"]},
            {"id": "bare", "revision": "REVISION BARE"},
            {"id": "two", "critique": "CRITIQUE TWO", "revision": "REVISION TWO", "tags": ["b"]},
            {"id": "three", "critique": "CRITIQUE THREE", "revision": "REVISION THREE", "tags": ["b"]},
        ],
    }
)
CONFIG = ReviseConfig(rounds=3)


def own(engine: Recorder, config: ReviseConfig = CONFIG) -> Revise:
    return Revise(Speaker(engine, Templates("chat")), CONSTITUTION, (), config, 5)


def ablate(engine: Recorder, first: list[Revision], asked: AblateConfig, config: ReviseConfig = CONFIG) -> Ablate:
    speaker = Speaker(engine, Templates("chat"))
    chains = [Revise(speaker, v.constitution, (), v.config, 5, v.name) for v in variants(asked, config, CONSTITUTION)]
    return Ablate(tuple(chains), {PROMPT.id: first})


def first_answers(chain: list[Revision]) -> list[Revision]:
    return [one for one in chain if one.round == 0]


def names(config: AblateConfig, revise: ReviseConfig = CONFIG) -> list[str]:
    return [variant.name for variant in variants(config, revise, CONSTITUTION)]


# What is asked for.


@pytest.mark.parametrize(
    ("asked", "revise", "made"),
    [
        ({}, {}, ["direct"]),
        ({"principles": (1, 2)}, {}, ["principles=1", "principles=2", "direct"]),
        ({"principles": (2, 1, 2), "direct": False}, {}, ["principles=2", "principles=1"]),
        ({"principles": (1, 3)}, {}, ["principles=1", "direct"]),
        ({"principles": (1,)}, {"critique": False}, ["principles=1"]),
    ],
)
def test_a_variant_that_the_run_already_is_is_left_out(
    asked: dict[str, Any], revise: dict[str, Any], made: list[str]
) -> None:
    assert names(AblateConfig.model_validate(asked), ReviseConfig.model_validate({"rounds": 3, **revise})) == made


@pytest.mark.parametrize(
    ("asked", "revise", "told"),
    [
        ({"principles": (4,)}, {}, "ablate.principles: 4 asked for, there are 3 that the chains can draw"),
        ({"principles": (3,)}, {"tags": ("b",)}, "3 asked for, there are 2 that the chains can draw"),
        ({"direct": False}, {}, "ablate: asks for no chains but the run's own"),
        ({"principles": (4,)}, {"critique": False}, "asks for no chains but the run's own"),
        (
            {"principles": (1,)},
            {"round_tags": {2: ("b",)}},
            "of the first 1 principles none can be drawn in round 2; ask for more",
        ),
    ],
)
def test_what_cannot_be_made_is_told(asked: dict[str, Any], revise: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        names(AblateConfig.model_validate(asked), ReviseConfig.model_validate({"rounds": 3, **revise}))
    assert told in str(caught.value)


def test_the_first_principles_are_those_that_chains_can_draw() -> None:
    assert [one.id for one in drawable(CONFIG, CONSTITUTION)] == ["one", "two", "three"]
    assert [one.id for one in drawable(ReviseConfig(critique=False), CONSTITUTION)] == ["one", "bare", "two", "three"]
    (two, direct) = variants(AblateConfig(principles=(2,)), CONFIG, CONSTITUTION)
    assert [one.id for one in two.constitution.principles] == ["one", "two"]
    assert [one.id for one in direct.constitution.able("direct")] == ["one", "two", "three"], "as critiqued ones"


def test_fewer_principles_are_drawn_though_the_whole_constitution_was_drawn_from_before() -> None:
    assert len(CONSTITUTION.able("revision")) == 3
    (one,) = variants(AblateConfig(principles=(1,), direct=False), CONFIG, CONSTITUTION)
    assert [found.id for found in one.constitution.able("revision")] == ["one"]


# The chains.


def test_every_variant_starts_from_the_runs_own_first_answer_and_asks_for_no_other() -> None:
    chain = collect(own(Recorder(replies=[f"own {n}" for n in range(7)])), PROMPT)
    engine = Recorder()
    made = collect(ablate(engine, first_answers(chain), AblateConfig(principles=(1,))), PROMPT)
    assert [(one.variant, one.round) for one in made] == [
        ("principles=1", 1), ("principles=1", 2), ("principles=1", 3), ("direct", 1), ("direct", 2), ("direct", 3)
    ]  # fmt: skip
    assert [one.id for one in made[::3]] == [f"principles=1/{PROMPT.id}/1", f"direct/{PROMPT.id}/1"]
    asked = [text_of(request.prompt) for request in engine.requests]
    assert len(asked) == 3 * 2 + 3
    assert "own 0" in asked[0] and "own 0" in asked[6], "the first round of each"
    assert not any("own" in later for later in asked[2:6] + asked[7:]), "later rounds revise their own chain"
    assert len({one.id for one in [*chain, *made]}) == len(chain) + len(made)


def test_direct_chains_draw_the_principles_of_the_critiqued_ones_and_write_no_critique() -> None:
    prompts = [Prompt.of((Message(role="user", content=f"Q{n}"),), "harmful", "test") for n in range(8)]
    drawn = set()
    for prompt in prompts:
        chain = collect(own(Recorder()), prompt)
        stage = Ablate(ablate(Recorder(), [], AblateConfig()).chains, {prompt.id: first_answers(chain)})
        made = collect(stage, prompt)
        assert [one.principles for one in made] == [one.principles for one in chain[1:]]
        assert all(one.critique is None and one.critique_flags == () for one in made)
        drawn |= {name for one in made for name in one.principles}
    assert drawn == {"one", "two", "three"}


def test_chains_of_n_principles_draw_no_other() -> None:
    chain = collect(own(Recorder()), PROMPT)
    made = collect(ablate(Recorder(), first_answers(chain), AblateConfig(principles=(1,), direct=False)), PROMPT)
    assert {one.principles for one in made} == {("one",)}


def test_every_sample_of_a_prompt_is_ablated_from_its_own_first_answer() -> None:
    config = ReviseConfig(rounds=1, samples=2)
    chain = collect(own(Recorder(replies=["own 0", "c", "r", "own 1", "c", "r"]), config), PROMPT)
    engine = Recorder()
    made = collect(ablate(engine, first_answers(chain), AblateConfig(), config), PROMPT)
    assert [(one.sample, one.round) for one in made] == [(0, 1), (1, 1)]
    assert [f"own {n}" in text_of(request.prompt) for n, request in enumerate(engine.requests)] == [True, True]


def test_ablations_cut_anywhere_go_on_as_unbroken_ones() -> None:
    first = first_answers(collect(own(Recorder()), PROMPT))
    asked = AblateConfig(principles=(2,))
    whole = collect(ablate(Recorder(), first, asked), PROMPT)
    for cut in range(len(whole) + 1):
        engine = Recorder()
        rest = collect(ablate(engine, first, asked), PROMPT, whole[:cut])
        assert [(r.id, r.principles, r.response.seed) for r in rest] == [
            (r.id, r.principles, r.response.seed) for r in whole[cut:]
        ]
        assert len(engine.requests) == sum(2 if r.critique else 1 for r in rest)
