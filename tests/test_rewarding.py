"""The rewards of a recipe: found, opened and closed, and by what they depend on part of the stage's address."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.config import Recipe
from cai.engines.pool import Pool
from cai.errors import InputError
from cai.job import Job
from cai.material import Material
from cai.pipeline import run
from cai.plan import plan
from cai.progress import Reporter
from cai.reward_material import critic, facts, scorer
from cai.rewarding import rewarded, tasks, watched
from cai.store import RunFolder
from cai.trainers.best_of_n import Best, better
from cai.trainers.preference_reward import PreferenceReward
from cai.trainers.reward import Rewarded, Sample
from cai.trainers.reward_parts import Plain
from cai.trainers.rewards import means

CONSTITUTION = {
    "name": "test",
    "principles": [
        {"id": "one", "critique": "Kind?", "revision": "Kinder.", "comparison": "Which?", "instruction": "Be kind."},
        {"id": "two", "critique": "True?", "revision": "Truer.", "comparison": "Which?", "tags": ["bare"]},
    ],
}
MODULE = """
def solved(answers, facts):
    return [fact["solution"] in answer for answer, fact in zip(answers, facts)]

def short(answers, facts):
    return [1.0]
"""
RECIPE = {
    "name": "here",
    "constitution": "constitution.yaml",
    "models": {"assistant": "tiny-random"},
    "engine": {"type": "scripted"},
    "prompts": {"harmful": "harmful.jsonl", "helpful": "helpful.jsonl"},
}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("constitution.yaml").write_text(json.dumps(CONSTITUTION))
    Path("maths_rewards.py").write_text(MODULE)
    for kind in ("harmful", "helpful"):
        rows = [{"prompt": f"{kind} {n}?", "solution": str(n), "text": "none"} for n in range(12)]
        Path(f"{kind}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    yield
    sys.modules.pop("maths_rewards", None)


def recipe(*rewards: dict[str, Any], **rl: Any) -> Recipe:
    return Recipe.model_validate({**RECIPE, "rl": {"rewards": list(rewards), **rl}})


def address(*rewards: dict[str, Any]) -> str:
    return plan(Material(recipe(*rewards)), RunFolder(Path("runs"), "here"))["rl"].digest


@pytest.fixture
def job() -> Iterator[Any]:
    """Makes the job of stage `rl`; nothing has run before it."""
    with Pool(lambda name: None) as pool:

        def made(*rewards: dict[str, Any], **rl: Any) -> Job:
            material = Material(recipe(*rewards, **rl))
            steps = plan(material, RunFolder(Path("runs"), "here"))
            return Job(steps["rl"], steps, material, Reporter(Console(quiet=True)), pool)

        yield made


def answers(job: Job, text: str = "It is 3.", count: int = 4) -> list[Sample]:
    found = tasks(job)
    return [task.sample(text, 5, True) for task in [*found["harmful"][:count], *found["helpful"][:count]]]


FUNCTION = {"type": "function", "function": "maths_rewards:solved"}


def test_a_function_is_given_what_the_prompt_s_own_file_says(job: Any) -> None:
    made = job(FUNCTION, {"type": "length", "target": 3, "weight": 0.5})
    samples = answers(made)
    with rewarded(made) as reward:
        found = reward(samples)
    for sample, right, total in zip(samples, found.parts["function"], found.total, strict=True):
        number = sample.prompt.messages[-1].content.split()[1].removesuffix("?")
        assert sample.facts == {"solution": number}
        assert right == float(number in sample.answer) and total == right - 0.5 * 2
    assert {sample.kind for sample in samples} == {"harmful", "helpful"}


def test_facts_are_read_only_where_a_function_asks_for_them() -> None:
    assert facts(Material(recipe({"type": "length", "target": 3}))) == {}
    known = facts(Material(recipe(FUNCTION)))
    assert known["helpful.jsonl:1"] == {"solution": "0"} and len(known) == 24


def test_a_function_that_miscounts_is_told(job: Any) -> None:
    made = job({"type": "function", "function": "maths_rewards:short"})
    with rewarded(made) as reward, pytest.raises(InputError, match="'maths_rewards:short' returned 1 values"):
        reward(answers(made))


def test_the_judge_is_asked_through_the_recipe_s_engine(job: Any) -> None:
    made = job({"type": "judge"})
    samples = [*answers(made), *answers(made, "Another answer.")]
    with rewarded(made) as reward:
        found = reward(samples)
        assert reward(samples) == found
    assert len(set(found.total)) > 4 and all(-1 <= value <= 1 for value in found.total)
    logged = means(found)
    assert [name for name in logged if name.startswith("reward/")] == ["reward/judge"]
    assert logged["reward/judge"] == pytest.approx(sum(found.total) / 16) and "answers/stock_phrases" in logged


WATCHING = {"type": "preference_model", "weight": 0}
OTHER = {"type": "preference_model", "model": "one"}


@pytest.mark.parametrize(
    ("rewards", "begun"),
    [
        ([{"type": "preference_model"}], "preference_model"),
        ([{"type": "length", "target": 9}, {"type": "preference_model", "weight": 0.1}], "preference_model"),
        ([WATCHING, {"type": "length", "target": 9}], None),
        ([{"type": "preference_model", "weight": -1}], None),
        ([OTHER, WATCHING], None),
        ([WATCHING, {"type": "preference_model"}], "preference_model"),
    ],
)
def test_ppo_s_critic_begins_as_a_model_that_rewards_and_not_as_one_that_watches(
    rewards: list[dict[str, Any]], begun: str | None
) -> None:
    assert critic(Material(recipe(*rewards))) == begun


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every preference model scores an answer by the number that it is."""

    def by_number(*_: Any) -> Plain:
        return Plain("score", lambda samples: [float(sample.answer) for sample in samples])

    monkeypatch.setattr("cai.rewarding._scored", by_number)


def totals(job: Any, numbers: list[int], **rl: Any) -> Rewarded:
    """What a stage `rl` with Llama 2's rule says of answers that are these numbers."""
    made = job({"type": "llama2", "helpfulness": "preference_model"}, **rl)
    (task, *_) = tasks(made)["harmful"]
    with watched(made, Log()) as (reward, _):
        return reward([task.sample(str(number), 1, True) for number in numbers])


class Log:
    def step(self, done: int, total: int) -> None: ...

    def metric(self, row: dict[str, Any]) -> None: ...


def test_of_two_rounds_of_best_of_n_the_raw_scores_are_compared(job: Any, scored: None) -> None:
    """5 is the worst of one round and 4 the best of the next: whitened, 4 would win."""
    rounds = [[5, 10, 11, 12], [4, 0, 1, -1]]
    first, second = (totals(job, numbers, algorithm="best_of_n") for numbers in rounds)
    kept = better({}, [Best("q", "raw 5", first.total[0], 1)])
    assert better(kept, [Best("q", "raw 4", second.total[0], 2)])["q"].answer == "raw 5"
    assert [first.total, second.total] == [tuple(map(float, numbers)) for numbers in rounds]
    climbed = totals(job, rounds[0], algorithm="ppo")
    assert sum(climbed.total) == pytest.approx(0) and climbed.total != first.total
    assert means(climbed)["reward/llama2/raw"] == 9.5 == sum(first.total) / 4


def test_what_a_look_at_the_panel_asks_waits_for_no_other_process(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def over(rows: Any, said: Any) -> Any:
        asked.append(len(rows))
        return said(rows)

    monkeypatch.setattr("cai.rewarding._over_all", lambda: over)
    made = job({"type": "judge"}, algorithm="ppo", panel={"prompts": 1})
    with watched(made, Log()) as (reward, panel):
        assert panel
        panel._reward(answers(made))
        assert asked == []
        reward(answers(made))
        assert asked == [8, 8]  # the judge's draw of principles, and the figures of the answers


def test_a_judge_without_a_principle_to_rate_by_is_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match="instruction"):
        address({"type": "judge", "tags": ["bare"]})


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ({"type": "preference_model", "model": "helpfulness_model"}, "this run trains no helpfulness_model"),
        ({"type": "llama2"}, "this run trains no helpfulness_model"),
        ({"type": "preference_model", "model": "here/preference_model"}, "is of this very run; name it by its stage"),
        ({"type": "preference_model", "model": "gone/preference_model"}, "no preference model 'gone/preference_model'"),
        ({"type": "function", "function": "gone_rewards:f"}, "'gone_rewards:f'.*cannot be imported"),
        ({"type": "function", "function": "maths_rewards:solvd"}, "did you mean 'solved'"),
    ],
)
def test_what_is_not_there_is_told_before_anything_runs(reward: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        address(reward)


def weights(name: str, text: bytes) -> None:
    """A folder that looks like a preference model's."""
    Path(name).mkdir()
    Path(name, "config.json").write_text('{"architectures": ["TinyForSequenceClassification"]}')
    Path(name, "model.safetensors").write_bytes(text)


def test_a_model_counts_by_its_weights_and_not_by_where_it_lies() -> None:
    weights("one", b"1")
    weights("two", b"2")
    shutil.copytree("one", "copy")
    first, second, copied = (address({"type": "preference_model", "model": name}) for name in ("one", "two", "copy"))
    assert first == copied != second
    rule = {"type": "llama2", "safety": "preference_model"}
    assert address({**rule, "helpfulness": "one"}) == address({**rule, "helpfulness": "copy"})
    assert address({**rule, "helpfulness": "one"}) != address({**rule, "helpfulness": "two"})


def test_a_function_counts_by_its_text_and_by_the_facts_it_is_given() -> None:
    before = address(FUNCTION)
    assert address(FUNCTION) == before
    Path("maths_rewards.py").write_text(MODULE + "\n# other\n")
    sys.modules.pop("maths_rewards")
    assert (changed := address(FUNCTION)) != before
    text = Path("helpful.jsonl").read_text()
    Path("helpful.jsonl").write_text(text.replace('"solution": "3"', '"solution": "33"'))
    assert address(FUNCTION) != changed


def test_what_a_judge_is_shown_counts_and_other_principles_do_not() -> None:
    judge = {"type": "judge"}
    before, plain = address(judge), address({"type": "repetition"})
    changed = json.loads(json.dumps(CONSTITUTION))
    changed["principles"][0]["instruction"] = "Be very kind."
    Path("constitution.yaml").write_text(json.dumps(changed))
    assert address(judge) != before
    assert address({"type": "repetition"}) == plain
    assert address(judge | {"weight": 2.0}) != address(judge)


@pytest.mark.slow
def test_the_whole_stage_and_a_model_of_another_run_which_is_spoken_to_as_it_was_trained(job: Any) -> None:
    old = Recipe.model_validate(
        {
            **RECIPE,
            "name": "old",
            "models": {"assistant": {"model": "tiny-random", "dialect": "transcript"}},
            "revise": {"rounds": 1, "few_shot": 0, "max_tokens": 8},
            "rl": {
                "algorithm": "grpo",
                "steps": 2,
                "prompts_per_step": 2,
                "samples": 2,
                "micro_batch": 4,
                "max_tokens": 6,
                "rewards": [{"type": "preference_model"}, {"type": "judge", "weight": 2}, FUNCTION],
            },
            "evaluate": {"max_tokens": 8, "limit": 2, "bootstrap": 100},
        }
    )
    steps = run(Material(old), RunFolder(Path("runs"), "old"), Reporter(Console(quiet=True)))
    for row in (row for row in steps["rl"].folder.metrics() if "reward" in row):
        parts = [row[f"reward/{name}"] for name in ("preference_model", "judge", "function")]
        assert row["reward"] == pytest.approx(parts[0] + 2 * parts[1] + parts[2], abs=1e-4)
        assert -1 <= parts[1] <= 1 and 0 <= parts[2] <= 1 and "kl" in row
    made = job({"type": "preference_model", "model": "old/preference_model"})
    assert scorer(made.material, "old/preference_model").model.dialect == "transcript"
    samples = answers(made, count=1)
    with rewarded(made) as reward:
        found = reward(samples)
    direct = PreferenceReward(steps["preference_model"].folder.path / "model")
    templates = Material(old).templates(old.models.pretrained)
    respoken = [
        Sample(templates.render("respond", messages=sample.prompt.messages), sample.answer) for sample in samples
    ]
    assert found.total == pytest.approx(direct(respoken).total, abs=1e-5)
    assert found.total != pytest.approx(direct(samples).total, abs=1e-3)
    direct.close()
