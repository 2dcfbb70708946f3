"""Requests for more prompts: which seeds are shown, how, and in which order replies come."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from cai.errors import InputError
from cai.generation.checks import MOST_CHARACTERS
from cai.generation.requests import Requests, Seed, in_order, showable
from cai.prompts import Templates
from cai.records import Message, Prompt
from cai.sampling import Sampling


def prompt(*turns: str) -> Prompt:
    roles = ("user", "assistant")
    return Prompt.of(tuple(Message(role=roles[n % 2], content=turn) for n, turn in enumerate(turns)), "harmful", "x")


def test_a_seed_is_the_first_turn_of_its_prompt_on_one_line() -> None:
    many = prompt("How do I\n\n steal?", "You don't.", "Why?")
    assert Seed.of(many) == Seed(many.id, "How do I steal?")
    system = Message(role="system", content="Be kind.")
    led = Prompt.of((system, *many.messages), "harmful", "x")
    assert Seed.of(led).text == "How do I steal?"


def test_long_seeds_and_doubles_are_not_shown() -> None:
    seeds = [Seed("1", "Why?"), Seed("2", "x" * (MOST_CHARACTERS + 1)), Seed("3", "Why?"), Seed("4", "When?")]
    assert showable(seeds, 2) == [seeds[0], seeds[3]]
    with pytest.raises(InputError, match=r"found 2 different seeds .* expected 3 .*--examples"):
        showable(seeds, 3)


def requests(**changes: Any) -> Requests:
    seeds = [Seed(str(n), f"Question {n}?") for n in range(30)]
    return Requests(**{"sampling": Sampling(), "kind": "harmful", "seeds": seeds, "examples": 10, "seed": 0} | changes)


def test_seeds_are_drawn_by_seed_and_request_alone() -> None:
    shown = [[seed.id for seed in requests().shown(number)] for number in range(50)]
    assert shown == [[seed.id for seed in requests().shown(number)] for number in range(50)]
    assert all(len(set(ids)) == 10 for ids in shown)
    assert len({tuple(ids) for ids in shown}) == 50
    assert {name for ids in shown for name in ids} == {str(n) for n in range(30)}
    assert requests(seed=1).shown(0) != requests().shown(0) != requests(kind="helpful").shown(0)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
@pytest.mark.parametrize("kind", ["harmful", "helpful"])
def test_the_template_is_a_list_that_the_reply_continues(dialect: str, kind: str) -> None:
    rendered = Templates(dialect).render("more", examples=["First?", "Second?"], kind=kind)
    assert (rendered.text or rendered.reply_start).endswith("1. First?\n2. Second?\n3.")
    other = Templates(dialect).render("more", examples=["First?", "Second?"], kind="other")
    assert (rendered == other) == (kind == "helpful")


def test_results_come_in_order_whatever_each_takes() -> None:
    asked: list[int] = []
    flying: list[int] = []
    most = 0

    async def ask(number: int) -> int:
        nonlocal most
        asked.append(number)
        flying.append(number)
        most = max(most, len(flying))
        await asyncio.sleep(random.Random(number).random() / 100)
        flying.remove(number)
        return number

    async def first(count: int) -> list[int]:
        results = in_order(ask, 5, lambda: 4)
        found = [await anext(results) for _ in range(count)]
        await results.aclose()
        return found

    assert asyncio.run(first(20)) == list(range(5, 25))
    assert most == 4 and asked == sorted(asked) and len(asked) <= 24
