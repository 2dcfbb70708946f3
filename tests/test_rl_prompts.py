"""More prompts for reinforcement learning: as often as their weight says, none twice over, none that is held out."""

import json
from collections import Counter
from pathlib import Path

import pytest

from cai.config import Recipe
from cai.errors import InputError
from cai.material import Material
from cai.questions import load_prompts, split
from cai.records import Kind
from cai.rl_config import MorePrompts
from cai.rl_prompts import mixed_in
from cai.spool import Prompts

NONE: dict[Kind, list] = {"harmful": [], "helpful": []}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("own", range(40))
    write("more", range(20, 420))  # twenty are there already


def write(name: str, numbers: range) -> None:
    Path(f"{name}.txt").write_text("".join(f"Question {n}?\n" for n in numbers))


def test_each_comes_as_often_as_its_weight_says() -> None:
    counted = {}
    for weight in (0.25, 1.0, 2.0, 2.5):
        found = mixed_in(NONE, [MorePrompts(prompts="more.txt", weight=weight)], 0.0, 7)
        counted[weight] = Counter(prompt.id for prompt in found["harmful"])
        assert found["helpful"] == []
    assert set(counted[1.0].values()) == {1} and len(counted[1.0]) == 400
    assert set(counted[2.0].values()) == {2} and set(counted[2.5].values()) == {2, 3}
    assert counted[2.5].total() == pytest.approx(1000, abs=50)
    assert set(counted[0.25].values()) == {1} and counted[0.25].total() == pytest.approx(100, abs=40)
    again = mixed_in(NONE, [MorePrompts(prompts="more.txt", weight=0.25)], 0.0, 7)["harmful"]
    other = mixed_in(NONE, [MorePrompts(prompts="more.txt", weight=0.25)], 0.0, 8)["harmful"]
    assert {prompt.id for prompt in again} == set(counted[0.25]) != {prompt.id for prompt in other}


def test_what_is_there_already_or_held_out_is_left_out() -> None:
    own = load_prompts("own.txt", "harmful").prompts
    train, held_out = split(own, 0.25)
    found = mixed_in({"harmful": train, "helpful": []}, [MorePrompts(prompts="more.txt")], 0.25, 0)["harmful"]
    texts = Counter(prompt.messages[0].content for prompt in found)
    assert max(texts.values()) == 1 and found[: len(train)] == list(train)
    assert not {prompt.messages[0].content for prompt in held_out} & texts.keys()
    kept = split(load_prompts("more.txt", "harmful").prompts, 0.25)[1]
    assert not {prompt.messages[0].content for prompt in kept} & texts.keys()
    assert len(found) == len({*range(420)}) - len({p.id for p in [*held_out, *kept]})


def test_a_source_with_nothing_new_is_an_error() -> None:
    own: dict[Kind, Prompts] = {"harmful": load_prompts("own.txt", "harmful").prompts, "helpful": Prompts.of([])}
    with pytest.raises(InputError, match=r"rl\.prompts: own\.txt has no prompt that is neither"):
        mixed_in(own, [MorePrompts(prompts="own.txt")], 0.0, 0)


def test_a_recipe_mixes_in_conversations_of_several_turns() -> None:
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "What now?")]
    rows = [{"messages": [{"role": r, "content": f"{c} {n}"} for r, c in turns]} for n in range(8)]
    Path("talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write("good", range(500, 520))
    recipe = Recipe.model_validate(
        {
            "name": "a",
            "models": {"assistant": "tiny-random"},
            "prompts": {"harmful": "own.txt", "helpful": "good.txt", "limit": 5},
            "rl": {"prompts": [{"prompts": "talks.jsonl", "kind": "helpful", "weight": 2, "limit": 3}]},
        }
    )
    found = Material(recipe).rl_prompts
    assert [len(found["harmful"]), len(found["helpful"])] == [5, 5 + 2 * 3]
    assert {len(prompt.messages) for prompt in found["helpful"][5:]} == {3}
