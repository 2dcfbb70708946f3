"""What a plan promises is never less than what a run takes, and shrinks with what is stored."""

from __future__ import annotations

import asyncio
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.config import load_recipe
from cai.costs import records
from cai.engine_config import ScriptedEngine
from cai.engines.base import Request, Speaker
from cai.engines.scripted import ScriptedBackend
from cai.estimate import COUNTS, TRAINING, Work, _compared, checkpoints_needed, estimate
from cai.executors import local
from cai.executors.base import AnyStage
from cai.feedback_config import SampledAnswers
from cai.judge.of_recipe import judge_of
from cai.material import Material
from cai.pipeline import run
from cai.plan import STAGES, Step, plan
from cai.progress import Reporter
from cai.prompts import Rendered
from cai.records import Completion, Prompt, Record
from cai.stages.compare import Compare
from cai.stages.evaluate import Evaluate
from cai.stages.pairs import Samples
from cai.store import RunFolder, StepFolder
from cai.weights import ALIASES, TINY

TINY_SIZE = ALIASES[TINY].parameters
REAL = "engine={type: transformers}"


def material(*overrides: str) -> Material:
    return Material(load_recipe("smoke", list(overrides)))


def steps_of(loaded: Material, runs: Path) -> dict[str, Step]:
    return plan(loaded, RunFolder(runs, loaded.recipe.name))


def works(loaded: Material, runs: Path) -> dict[str, Work]:
    return {stage: estimate(step, loaded, runs) for stage, step in steps_of(loaded, runs).items()}


def mark_done(folder: StepFolder, summary: dict[str, Any], spec: dict[str, Any]) -> None:
    folder.begin(spec)
    folder.finish(summary)


@dataclass
class Counts:
    """What an engine was asked, in its own words for tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    tokens: int = 0


class Counting:
    """The scripted engine, counted."""

    def __init__(self) -> None:
        self.inner, self.counts = ScriptedBackend(ScriptedEngine()), Counts()
        self.concurrency = self.inner.concurrency

    async def generate(self, request: Request) -> Completion:
        reply = await self.inner.generate(request)
        self.counts.calls += 1
        self.counts.prompt_tokens += reply.prompt_tokens
        self.counts.tokens += reply.tokens
        return reply

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        self.counts.calls += 1
        self.counts.prompt_tokens += len(" ".join(message.content for message in prompt.messages).split())
        return await self.inner.score(prompt, labels)

    def close(self) -> None: ...


class Constant:
    """A preference model that has no preference."""

    async def score(self, prompt: Rendered, answer: str) -> float:
        return 0.0


def walk(stage: AnyStage, items: Sequence[Prompt]) -> list[Record]:
    stored: list[Record] = []
    failed: list[Any] = []
    asyncio.run(
        local.run(items, stage, {}, _id, stored.append, lambda new: None, lambda *failure: failed.append(failure), 8)
    )
    assert failed == []
    return stored


def _id(item: Any) -> str:
    return item.id


# A run's real numbers.


@pytest.mark.parametrize(("rounds", "few_shot"), [(1, 0), (3, 2)])
def test_a_run_takes_no_more_than_was_estimated(tmp_path: Path, rounds: int, few_shot: int) -> None:
    loaded = material(f"revise.rounds={rounds}", f"revise.few_shot={few_shot}", "prompts.limit=12")
    before = works(loaded, tmp_path)
    done = run(loaded, RunFolder(tmp_path, "smoke"), Reporter(Console(file=io.StringIO())), until="revise")
    for stage in ("respond", "revise"):
        real = done[stage].folder.summary
        assert 0 < real["tokens"] <= before[stage].tokens
        assert 0 < real["prompt_tokens"] <= before[stage].prompt_tokens
        assert estimate(done[stage], loaded, tmp_path) == Work()
    assert before["revise"].calls == 12 * (1 + 2 * rounds)


@pytest.mark.parametrize(
    "settings",
    [
        ["revise={rounds: 2, few_shot: 0, samples: 2, max_tokens: 32}", "ablate={limit: 5, principles: [1, 3]}"],
        ["revise={rounds: 2, few_shot: 1, critique: false, stop: 0.5}", "ablate={principles: [2]}"],
        ["revise={rounds: 2, few_shot: 1, principles: all, resample: {times: 1, flags: [truncated]}}", "ablate={}"],
    ],
)
def test_chains_and_ablations_take_no_more_than_was_estimated(tmp_path: Path, settings: list[str]) -> None:
    loaded = material("prompts.limit=6", *settings)
    before = works(loaded, tmp_path)
    done = run(loaded, RunFolder(tmp_path, "smoke"), Reporter(Console(file=io.StringIO())), until="ablate")
    for stage in ("revise", "ablate"):
        real = done[stage].folder.summary
        assert 0 < real["tokens"] <= before[stage].tokens
        assert 0 < real["prompt_tokens"] <= before[stage].prompt_tokens


def test_an_ablation_is_counted_without_its_first_answers(tmp_path: Path) -> None:
    loaded = material("prompts.limit=6", "revise.rounds=3", "ablate={limit: 4, principles: [1, 2]}")
    work = works(loaded, tmp_path)["ablate"]
    assert work.calls == 4 * 3 * (2 + 2 + 1)
    assert work.tokens == work.calls * 32
    plain = works(material("prompts.limit=6", "revise.rounds=3"), tmp_path)
    more = works(loaded, tmp_path)["score_rounds"].prompt_tokens - plain["score_rounds"].prompt_tokens
    assert more == 4 * 3 * 3 * 32


def test_distilling_asks_twice_a_prompt_and_gives_rows_to_learn(tmp_path: Path) -> None:
    (tmp_path / "scorer").mkdir()
    (tmp_path / "scorer" / "config.json").write_text('{"architectures": ["TinyForSequenceClassification"]}')
    asked = f"distill={{preference_model: {tmp_path / 'scorer'}, max_tokens: 20}}"
    loaded, plain = material("prompts.limit=6", asked), material("prompts.limit=6")
    work, before = works(loaded, tmp_path), works(plain, tmp_path)
    assert (work["distill"].calls, work["distill"].tokens) == (12, 12 * 20)
    prompts = work["sft"].tokens - before["sft"].tokens - 6 * 20
    assert 0 < prompts < 6 * 60
    assert work["distill"].prompt_tokens > 12 * 20 + 6 * 60


@pytest.mark.parametrize(("orders", "few_shot"), [("both", 0), ("random", 2)])
def test_judging_takes_no_more_than_was_estimated(tmp_path: Path, orders: str, few_shot: int) -> None:
    within_the_estimate(material(f"compare.judge={{orders: {orders}, few_shot: {few_shot}}}"), tmp_path)


OPPOSED = """
name: opposed
principles:
  - {id: kind, critique: C, revision: R, comparison: "Which is kinder?", instruction: Be kind., opposite: Be cruel.}
  - {id: calm, critique: C, revision: R, comparison: "Which is calmer?", instruction: Be calm., opposite: Panic.}
  - id: told
    comparison: Which is truer?
    instruction: Tell no lies.
    tests:
      - {prompt: "Is the earth flat?", better: "No.", worse: Some say so.}
      - {prompt: "Is fire cold?", better: "No, fire is hot.", worse: "Yes."}
"""


@pytest.mark.parametrize(
    ("compare", "calls"),
    [
        ("judge={principles: all}", 2 + 3 * 2),
        ("judge={principles: 2, orders: random}", 2 + 2),
        ("judge={mode: cot, max_tokens: 20, few_shot: 2}", 2 + 2 * 2),
        ("judge={mode: cot, thoughts: 3, temperature: 1, orders: random, max_tokens: 20}", 2 + 3 * 2),
        ("judge={mode: verdict, max_tokens: 20}", 2 + 2),
        ("judge={mode: contrast}", 2 + 4),
        ("judge={mode: contrast, principles: all}", 2 + 2 * 4),
        ("judge={mode: contrast, against: nothing, principles: all}", 2 + 3 * 4),
        ("judge={mode: score, principles: 2}", 2 + 2 * 2),
        ("answers={samples: 4}", 4 + 6 * 2),
        ("answers={samples: 9, pairs: 1}", 2 + 2),
        ("answers={samples: 3, pairs: 9}", 3 + 3 * 2),
    ],
)
def test_every_mode_of_the_judge_takes_what_was_estimated(tmp_path: Path, compare: str, calls: int) -> None:
    loaded = opposed(tmp_path, f"compare.{compare}", "compare.preflight.limit=0")
    asked, made = within_the_estimate(loaded, tmp_path)
    assert asked == works(loaded, tmp_path)["compare"].calls == calls * 8
    assert made == records("compare", loaded)


def test_pairs_that_share_an_answer_take_fewer_of_them(tmp_path: Path) -> None:
    loaded = opposed(tmp_path, "compare.answers={samples: 4, pairs: 2}", "compare.preflight.limit=0")
    asked, made = within_the_estimate(loaded, tmp_path)
    assert asked < works(loaded, tmp_path)["compare"].calls == (4 + 2 * 2) * 8
    assert made == records("compare", loaded)


@pytest.mark.parametrize(
    ("compare", "calls"),
    [
        ("{answers: {samples: 3, pairs: best-worst}, judge: {mode: contrast}}", 3 + 3 * 2 + 4),
        ("{answers: {samples: 3, pairs: best-worst}, judge: {mode: score, principles: 2}}", 3 + 2 * (3 + 2)),
    ],
)
def test_ranking_answers_is_counted_with_the_judging(tmp_path: Path, compare: str, calls: int) -> None:
    loaded = opposed(tmp_path, f"compare={compare}", "compare.preflight={limit: 0}")
    asked, made = within_the_estimate(loaded, tmp_path)
    assert asked == works(loaded, tmp_path)["compare"].calls == calls * 8
    assert made == records("compare", loaded) == 8


@pytest.mark.parametrize(
    ("answers", "calls", "pairs"),
    [
        ("{type: models}", 2 + 2, 1),
        ("{type: rounds}", 2 * 2, 2),
        ("{type: contrastive}", 2 + 2, 1),
        ("{type: contrastive, label: construction}", 2, 1),
    ],
)
def test_every_way_to_come_by_pairs_is_counted(tmp_path: Path, answers: str, calls: int, pairs: int) -> None:
    loaded = opposed(tmp_path, f"compare.answers={answers}", "revise.samples=2", "compare.preflight.limit=0")
    work = works(loaded, tmp_path)["compare"]
    assert (work.calls, records("compare", loaded)) == (calls * 8, pairs * 8)
    written = 0 if "rounds" in answers else 2 * 8 * loaded.recipe.compare.max_tokens
    assert work.tokens == written


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ("{}", 2 * 2),
        ("{preflight: {limit: 1}}", 2),
        ("{preflight: {limit: 0}}", 0),
        ("{judge: {mode: score}}", 2 * 2),
        ("{judge: {mode: contrast}}", 0),
        ("{preflight: {pairs: mine.jsonl, limit: 7}, judge: {principles: all}}", 7 * 3 * 2),
        ("{answers: {type: contrastive, label: construction}}", 0),
    ],
)
def test_measuring_the_judge_first_is_counted(tmp_path: Path, settings: str, calls: int) -> None:
    """The one principle with tests has no opposite, so no test of it can be asked by contrast."""
    with_it = opposed(tmp_path, f"compare={settings}")
    without = opposed(tmp_path, f"compare={settings}", "compare.preflight={limit: 0}")
    counted = [works(loaded, tmp_path)["compare"] for loaded in (with_it, without)]
    assert counted[0].calls - counted[1].calls == calls
    assert (counted[0].prompt_tokens > counted[1].prompt_tokens) == (calls > 0)


def test_all_pairs_of_a_prompt_s_answers_are_learned_from_each_answer_once(tmp_path: Path) -> None:
    two, four = (works(material(f"compare.answers={{samples: {count}}}"), tmp_path) for count in (2, 4))
    assert four["preference_model"].tokens == 2 * two["preference_model"].tokens


def test_what_people_compared_is_learned_from_too(tmp_path: Path) -> None:
    pairs = [{"prompt": "one two", "chosen": "word " * 50, "rejected": "word " * 30} for _ in range(10)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    human = f"preference_model.human=[{{pairs: {tmp_path / 'mine.jsonl'}, limit: 4}}]"
    plain, mixed = (works(material(*more), tmp_path)["preference_model"].tokens for more in ([], [human]))
    assert mixed - plain == round(4 * (50 + 30 + 2 * 2) * 1.35)


def test_dpo_is_priced_where_it_is_asked_for(tmp_path: Path) -> None:
    plain, short = works(material(), tmp_path), works(material("dpo={epochs: 2}"), tmp_path)
    assert "dpo" not in plain
    assert short["dpo"].tokens == 2 * plain["preference_model"].tokens > 0
    assert short["evaluate"].calls * (3 + 6) == plain["evaluate"].calls * (4 + 10)
    held_out = sum(len(split.held_out) for split in material().prompts.values())
    assert records("evaluate", material("dpo={}")) == 4 * held_out


def opposed(folder: Path, *overrides: str) -> Material:
    """The smoke recipe on principles with an instruction, two of them with its opposite."""
    (folder / "opposed.yaml").write_text(OPPOSED)
    return material(f"constitution={folder / 'opposed.yaml'}", *overrides)


def within_the_estimate(loaded: Material, folder: Path) -> tuple[int, int]:
    """Compares for real, and checks that it takes no more than was estimated. Returns calls, and pairs made."""
    engine, recipe = Counting(), loaded.recipe
    speaker = Speaker(engine, loaded.templates(recipe.models.feedback))
    judge, config = judge_of(loaded, speaker), recipe.compare
    assert isinstance(config.answers, SampledAnswers)
    made = walk(Compare(Samples(speaker, judge, config.answers, config, 0), judge), loaded.prompts["harmful"].train)
    expected = works(loaded, folder)["compare"]
    assert 0 < engine.counts.calls <= expected.calls
    assert engine.counts.tokens <= expected.tokens
    assert engine.counts.prompt_tokens <= expected.prompt_tokens
    return engine.counts.calls, len(made)


def test_evaluating_takes_no_more_than_was_estimated(tmp_path: Path) -> None:
    loaded = material("evaluate.limit=5")
    engine, recipe = Counting(), loaded.recipe
    speaker = Speaker(engine, loaded.templates(recipe.models.pretrained))
    prompts = [prompt for split in loaded.prompts.values() for prompt in split.held_out]
    for model, base, sl in (("base", None, None), ("SL-CAI", speaker, None), ("RL-CAI", speaker, speaker)):
        walk(Evaluate(model, speaker, base, sl, Constant(), recipe.evaluate, 0), prompts)
    expected = works(loaded, tmp_path)["evaluate"]
    assert engine.counts.calls == expected.calls
    assert engine.counts.tokens <= expected.tokens
    assert engine.counts.prompt_tokens <= expected.prompt_tokens


def test_records_take_about_the_disk_that_was_estimated(tmp_path: Path) -> None:
    loaded = material("prompts.limit=12")
    done = run(loaded, RunFolder(tmp_path, "smoke"), Reporter(Console(file=io.StringIO())), until="revise")
    expected = works(loaded, tmp_path / "elsewhere")["revise"].disk
    assert expected
    assert 1 / 3 < expected / (done["revise"].folder.path / "items.jsonl").stat().st_size < 3


def trained(tmp_path: Path) -> tuple[str, str, str]:
    """The overrides with which a recipe has every stage that trains."""
    path = tmp_path / "people.jsonl"
    path.write_text("".join(f'{{"prompt": "Q{n}?", "chosen": "Yes {n}.", "rejected": "No {n}."}}\n' for n in range(9)))
    return "dpo={}", f"helpfulness_model={{human: [{{pairs: {path}}}]}}", "rejection_sampling={}"


# What is left.


def test_a_done_stage_costs_nothing(tmp_path: Path) -> None:
    loaded = material()
    for step in steps_of(loaded, tmp_path).values():
        mark_done(step.folder, {"seconds": 1.0, "tokens": 10}, {"digest": step.digest})
    assert set(works(loaded, tmp_path).values()) == {Work()}


def test_half_the_records_leave_half_the_work(tmp_path: Path) -> None:
    scorer = tmp_path / "scorer"
    scorer.mkdir()
    (scorer / "config.json").write_text('{"architectures": ["TinyForSequenceClassification"]}')
    optional = (f"distill={{preference_model: {scorer}}}", "ablate={principles: [2]}", *trained(tmp_path))
    loaded = material("prompts.limit=8", REAL, *optional)
    before = works(loaded, tmp_path)
    per_item = {"respond": 1, "revise": 3, "ablate": 4, "distill": 1, "compare": 1, "score_rounds": 7, "evaluate": 0}
    for stage, step in steps_of(loaded, tmp_path).items():
        step.folder.begin({})
        held_out = 5 * sum(len(split.held_out) for split in loaded.prompts.values())
        records = 8 * per_item.get(stage, 0) or (held_out if stage == "evaluate" else 0)
        (step.folder.path / "items.jsonl").write_text("{}\n" * (records // 2))
    after = works(loaded, tmp_path)
    for stage in per_item:
        assert (after[stage].calls, after[stage].tokens) == (before[stage].calls / 2, before[stage].tokens / 2)
        assert after[stage].prompt_tokens == pytest.approx(before[stage].prompt_tokens / 2, abs=1)
        assert before[stage].prompt_tokens > 0
    assert after["revise"].seconds == pytest.approx(before["revise"].seconds / 2 if before["revise"].seconds else None)
    for stage in TRAINING:
        assert after[stage] == before[stage]


def test_a_torn_or_surplus_record_never_makes_it_negative(tmp_path: Path) -> None:
    loaded = material("prompts.limit=2")
    step = steps_of(loaded, tmp_path)["respond"]
    step.folder.begin({})
    (step.folder.path / "items.jsonl").write_text("{}\n" * 5)
    assert estimate(step, loaded, tmp_path).calls == 0


def test_every_stage_is_counted() -> None:
    assert COUNTS.keys() == STAGES.keys()
    assert STAGES.keys() >= set(TRAINING)


def test_twice_the_prompts_are_twice_the_work(tmp_path: Path) -> None:
    small, large = (
        works(material(f"prompts.limit={limit}", "compare.preflight.limit=0"), tmp_path) for limit in (4, 8)
    )
    for stage in ("respond", "revise", "compare"):
        assert large[stage].calls == 2 * small[stage].calls
        assert large[stage].tokens == 2 * small[stage].tokens
    assert large["rl"].calls == small["rl"].calls


def test_reinforcement_counts_prompts_too_since_its_rate_does(tmp_path: Path) -> None:
    loaded = material("rl.steps=10", "rl.prompts_per_step=2", "rl.samples=3", "rl.micro_batch=6", "rl.max_tokens=16")
    work = works(loaded, tmp_path)["rl"]
    assert work.calls == 60
    assert 60 * 16 < work.tokens < 60 * (16 + 60)
    shorter = works(material("rl.steps=10", "rl.samples=3", "rl.micro_batch=6", "rl.max_tokens=8"), tmp_path)["rl"]
    assert work.tokens - shorter.tokens == 60 * 8


def test_later_rounds_of_dpo_are_sampled_judged_and_learned(tmp_path: Path) -> None:
    given = ("compare.preflight.limit=0", "dpo={epochs: 2}")
    compare, one = (works(material(*given), tmp_path)[stage] for stage in ("compare", "dpo"))
    three = works(material(*given, "dpo.rounds=3"), tmp_path)["dpo"]
    assert one.calls == 0 and three.calls == 2 * compare.calls > 0
    assert three.tokens == 3 * one.tokens + 2 * compare.tokens
    assert three.prompt_tokens == 3 * one.prompt_tokens + 2 * compare.prompt_tokens
    measured = works(material("dpo={epochs: 2, rounds: 3}"), tmp_path)["dpo"]
    assert measured.calls == three.calls, "the judge is measured once"


SMALL_RL = ("rl.steps=10", "rl.prompts_per_step=2", "rl.samples=3", "rl.micro_batch=6", "rl.max_tokens=16")


def test_a_judge_among_the_rewards_is_asked_about_each_answer_under_each_principle(tmp_path: Path) -> None:
    plain = works(material(*SMALL_RL), tmp_path)["rl"]
    judged = works(material(*SMALL_RL, "rl.rewards=[{type: judge, principles: 2}]"), tmp_path)["rl"]
    assert (plain.calls, judged.calls) == (60, 60 + 2 * 60) and plain.prompt_tokens == 0
    assert judged.prompt_tokens > 2 * 60 * 16 and judged.tokens == plain.tokens
    loaded = material(*SMALL_RL, "rl.rewards=[{type: judge, principles: all}, {type: judge, principles: 999}]")
    able = [one for one in loaded.constitution.principles if one.instruction]
    assert able and works(loaded, tmp_path)["rl"].calls == 60 * (1 + 2 * len(able)), "no more than there are"


def test_the_panel_s_answers_are_counted(tmp_path: Path) -> None:
    plain = works(material(*SMALL_RL), tmp_path)["rl"]
    loaded = material(*SMALL_RL, "rl.panel={prompts: 2, every: 4}")
    assert len(loaded.panel) == 4 and {prompt.kind for prompt in loaded.panel} == {"harmful", "helpful"}
    watched = works(loaded, tmp_path)["rl"]
    assert watched.calls == 60 + 4 * 4, "after 0, 4, 8 and 10 steps"
    assert watched.tokens > plain.tokens + 4 * 4 * 16


# Time.


def test_scripted_replies_take_no_time_but_training_does(tmp_path: Path) -> None:
    for stage, work in works(material(*trained(tmp_path)), tmp_path).items():
        assert work.seconds is not None
        assert (work.seconds > 0) == (stage in TRAINING)


def test_a_model_of_unknown_size_takes_an_unknown_time_and_disk(tmp_path: Path) -> None:
    loaded = material("models.assistant=owner/name", REAL, *trained(tmp_path))
    found = works(loaded, tmp_path)
    for stage in ("respond", "revise", "compare", "evaluate", *TRAINING):
        assert found[stage].seconds is None
        assert (found[stage].disk is None) == (stage in TRAINING)
        assert found[stage].tokens > 0
    assert checkpoints_needed(loaded) is None


def test_a_model_of_known_size_is_priced_by_its_parameters(tmp_path: Path) -> None:
    loaded = material(*trained(tmp_path))
    found = works(loaded, tmp_path)
    assert all(found[stage].disk == TINY_SIZE * 4 for stage in TRAINING)
    assert checkpoints_needed(loaded) == TINY_SIZE * 4 * 3 * 2


def test_a_larger_model_is_slower(tmp_path: Path) -> None:
    small, large = (
        works(material(f"models.assistant={name}", REAL), tmp_path)["revise"].seconds
        for name in ("tiny-random", "smollm2-135m")
    )
    assert small is not None
    assert large is not None
    assert large / small == pytest.approx(ALIASES["smollm2-135m"].parameters / TINY_SIZE)


def test_the_rate_of_an_earlier_run_is_taken(tmp_path: Path) -> None:
    loaded = material(REAL)
    recipe = loaded.recipe.model_dump()
    mark_done(StepFolder(tmp_path / "old" / "revise-00000000"), {"seconds": 10.0, "tokens": 70}, {"recipe": recipe})
    work = works(loaded, tmp_path)["revise"]
    assert work.seconds == pytest.approx(work.tokens / 7)


@pytest.mark.parametrize(
    ("summary", "change"),
    [
        ({"seconds": 10.0, "tokens": 70}, {"models": {"pretrained": {"model": "owner/other"}}}),
        ({"seconds": 10.0, "tokens": 70}, {"engine": {"type": "scripted"}}),
        ({"seconds": 10.0, "tokens": 0}, {}),
        ({"seconds": 0.0, "tokens": 70}, {}),
    ],
)
def test_the_rate_of_an_unlike_or_empty_run_is_not_taken(
    tmp_path: Path, summary: dict[str, Any], change: dict[str, Any]
) -> None:
    loaded = material(REAL)
    assumed = works(loaded, tmp_path)["revise"].seconds
    recipe = {**json.loads(json.dumps(loaded.recipe.model_dump())), **change}
    mark_done(StepFolder(tmp_path / "old" / "revise-00000000"), summary, {"recipe": recipe})
    assert works(loaded, tmp_path)["revise"].seconds == assumed
    assert assumed is not None
    assert math.isfinite(assumed)


def test_a_time_says_whether_it_was_measured(tmp_path: Path) -> None:
    loaded = material(REAL)
    spec = {"recipe": loaded.recipe.model_dump()}
    mark_done(StepFolder(tmp_path / "old" / "revise-00000000"), {"seconds": 10.0, "tokens": 70}, spec)
    found = works(loaded, tmp_path)
    assert [stage for stage, work in found.items() if work.measured] == ["revise"]


PARTS = {
    "respond": "helpful",
    "revise": "assistant",
    "ablate": "assistant",
    "compare": "feedback",
    "evaluate": "pretrained",
}


@pytest.mark.parametrize(("stage", "part"), PARTS.items())
def test_the_rate_taken_is_that_of_the_part_that_a_stage_asks(tmp_path: Path, stage: str, part: str) -> None:
    """Another model or engine in any other part is no matter, and in that part it is."""
    loaded = material(REAL)
    spec = {"recipe": loaded.recipe.model_dump()}
    mark_done(StepFolder(tmp_path / "old" / f"{stage}-00000000"), {"seconds": 10.0, "tokens": 70}, spec)
    own = {"model": "smollm2-135m"}, {"use": "assistant", "engine": {"type": "scripted", "latency": 1.0}}
    for other in ("helpful", "assistant", "feedback", "pretrained"):
        for settings in own if other != "assistant" else own[:1]:
            kept = {name: {"model": "tiny-random"} for name in ("helpful", "assistant", "feedback", "pretrained")}
            models = json.dumps({**kept, other: settings})
            found = works(material(REAL, f"models={models}", "ablate={}"), tmp_path)[stage]
            asked = {part, "pretrained"} if stage == "compare" else {part}
            assert found.measured == (other not in asked), (other, settings)


@pytest.mark.parametrize("stage", sorted(TRAINING))
def test_how_fast_a_model_trains_depends_on_it_and_not_on_an_engine(tmp_path: Path, stage: str) -> None:
    loaded = material(REAL)
    spec = {"recipe": loaded.recipe.model_dump()}
    mark_done(StepFolder(tmp_path / "old" / f"{stage}-00000000"), {"seconds": 10.0, "tokens": 70}, spec)
    assert works(material("engine={type: scripted}", *trained(tmp_path)), tmp_path)[stage].measured
    assert works(material("models.feedback=owner/name", *trained(tmp_path)), tmp_path)[stage].measured
    assert not works(material("models.pretrained=smollm2-135m", *trained(tmp_path)), tmp_path)[stage].measured


def test_a_judge_on_a_server_takes_an_unknown_time_until_it_was_measured(tmp_path: Path) -> None:
    judge = "models.feedback={model: big, engine: {type: openai, base_url: 'http://h'}}"
    loaded = material(REAL, judge)
    assert works(loaded, tmp_path)["compare"].seconds is None
    assert works(loaded, tmp_path)["revise"].seconds
    spec = {"recipe": loaded.recipe.model_dump()}
    mark_done(StepFolder(tmp_path / "old" / "compare-00000000"), {"seconds": 10.0, "tokens": 70}, spec)
    work = works(loaded, tmp_path)["compare"]
    assert work.seconds == pytest.approx(work.tokens / 7)


@pytest.mark.parametrize(
    "compare",
    ["judge={mode: cot}", "answers={type: models}", "answers={type: rounds}"],
)
def test_a_judge_that_is_asked_otherwise_is_no_measure_of_its_time(tmp_path: Path, compare: str) -> None:
    loaded = material(REAL)
    spec = {"recipe": loaded.recipe.model_dump()}
    mark_done(StepFolder(tmp_path / "old" / "compare-00000000"), {"seconds": 10.0, "tokens": 70}, spec)
    assert works(material(REAL, "compare.judge.few_shot=2"), tmp_path)["compare"].measured
    assert not works(material(REAL, f"compare.{compare}"), tmp_path)["compare"].measured


def test_how_long_a_judge_takes_that_writes_nothing_is_not_known(tmp_path: Path) -> None:
    """Rates are of tokens written."""
    work = works(material(REAL, "compare.answers={type: rounds}"), tmp_path)["compare"]
    assert (work.tokens, work.seconds) == (0, None) and work.calls > 0


@pytest.mark.parametrize(
    ("answers", "parts"),
    [
        ("{type: samples}", {"pretrained", "feedback"}),
        ("{type: rounds}", {"feedback"}),
        ("{type: models, models: [helpful, sft]}", {"helpful", "pretrained", "feedback"}),
        ("{type: contrastive, label: construction}", {"pretrained"}),
    ],
)
def test_the_parts_that_compare_asks_are_those_that_answer_and_judge(answers: str, parts: set[str]) -> None:
    recipe = material(f"compare.answers={answers}").recipe
    assert set(_compared(recipe)) == parts


def test_a_run_of_another_version_of_cai_is_passed_over(tmp_path: Path) -> None:
    loaded = material(REAL)
    for number, recipe in enumerate(({"gone": 1}, None, {**loaded.recipe.model_dump(), "engine": {"type": "gone"}})):
        folder = StepFolder(tmp_path / "old" / f"revise-0000000{number}")
        mark_done(folder, {"seconds": 1.0, "tokens": 7}, {"recipe": recipe})
    assert not works(loaded, tmp_path)["revise"].measured


def test_many_prompts_are_counted_by_some_of_them(tmp_path: Path) -> None:
    def counted(lines: Sequence[str]) -> int:
        source = tmp_path / f"{len(lines)}.txt"
        source.write_text("\n".join(lines))
        return works(material(f"prompts.helpful={source}", "prompts.limit=~"), tmp_path)["respond"].prompt_tokens

    lines = [f"number {number} " + "word " * (number % 7) for number in range(12_000)]
    assert counted(lines) == pytest.approx(10 * counted(lines[:1200]), rel=0.05)
