"""Which settings and texts are part of a stage's address, and which are not."""

from __future__ import annotations

import json
import shutil
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel

from cai.config import Recipe
from cai.errors import InputError
from cai.identity import canonical_json, role_of
from cai.material import Material
from cai.plan import STAGES, Step, differences, plan
from cai.prompts import VARIABLES
from cai.resources import shipped
from cai.store import RunFolder
from cai.suite_inputs import SUITES

Place = tuple[str, ...]

CONSTITUTION = {
    "name": "test",
    "principles": [
        {
            "id": "one",
            "tags": ["soft"],
            "critique": "Is it kind?",
            "revision": "Make it kind.",
            "comparison": "Which is kinder?",
        },
        {"id": "two", "critique": "Is it true?", "revision": "Make it true."},
        {"id": "three", "comparison": "Which is truer?"},
    ],
}
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Go"}]
REQUESTS = {"critique_request": "c?", "critique": "c", "revision_request": "r?", "revision": "r"}
REVISIONS = {"name": "r", "examples": [{"id": str(index), "messages": TURNS, **REQUESTS} for index in range(4)]}
ANSWERS = {"instruction": "Which?", "a": "x", "b": "y", "answer": "A"}
COMPARISONS = {"name": "c", "examples": [{"id": str(index), "messages": TURNS[:1], **ANSWERS} for index in range(4)]}
RECIPE = {
    "name": "test",
    "constitution": "constitution.yaml",
    "models": {"assistant": "tiny-random"},
    "engine": {"type": "scripted"},
    "train": {"processes": 2},
    "prompts": {"harmful": "harmful.txt", "helpful": "helpful.txt", "limit": 40},
    "revise": {"few_shot": 1, "few_shot_file": "revisions.yaml"},
    "compare": {"judge": {"few_shot": 1, "few_shot_file": "comparisons.yaml"}},
    "evaluate": {"limit": 2},
    "ablate": {"principles": [1]},
    "distill": {"preference_model": "scorer", "preamble": "preamble.txt"},
    "helpfulness_model": {"human": [{"pairs": "human.jsonl"}]},
    "ghost": {"turns": 2, "limit": 2},
    "rejection_sampling": {"steps": 2},
    "dpo": {},
    "guests": {"other": "tiny-random"},
    "win_rates": {},
    "harmfulness": {},
    "refusals": {},
    "over_refusal": {"limit": 3},
    "hhh": {"pairs": "human.jsonl"},
}
"""With the stages that a recipe may do without."""
EVERY = frozenset(STAGES)
OPTIONAL = frozenset(stage for stage in STAGES if getattr(Recipe.model_fields.get(stage), "default", ...) is None)
"""Stages that run where the recipe has settings for them."""
SPEAKING = {"respond", "revise", "distill", "ghost", "compare", "evaluate"}

OTHERS: dict[Place, Any] = {
    ("name",): "other",
    ("description",): "words",
    ("constitution",): "other_constitution.yaml",
    ("templates",): "templates",
    ("models", "assistant", "model"): "smollm2-135m",
    ("models", "helpful", "model"): "smollm2-135m",
    ("models", "feedback", "model"): "smollm2-135m",
    ("models", "pretrained", "model"): "smollm2-135m",
    ("prompts", "harmful"): "helpful.txt",
    ("prompts", "helpful"): "harmful.txt",
    ("revise", "few_shot_file"): "other_revisions.yaml",
    ("compare", "judge", "few_shot_file"): "other_comparisons.yaml",
    ("engine", "device"): "cpu",
    ("revise", "tags"): ["soft"],
    ("revise", "round_tags"): {1: ["soft"]},
    ("revise", "stop"): 0.9,
    ("revise", "resample", "flags"): ["empty"],
    ("ablate", "limit"): 2,
    ("ablate", "principles"): [],
    ("distill", "preference_model"): "other_scorer",
    ("distill", "preamble"): "other_preamble.txt",
    ("select", "rounds"): "last",
    ("select", "weights"): {1: 2.0},
    ("select", "helpful_share"): 0.5,
    ("select", "drop"): [],
    ("ghost", "instructions"): "helpful.txt",
    ("ghost", "limit"): 1,
    ("sft", "adapter"): {"rank": 4},
    ("sft", "demonstrations"): [{"answers": "human.jsonl"}],
    ("compare", "tags"): ["soft"],
    ("compare", "answers", "pairs"): 1,
    ("compare", "preflight", "pairs"): "human.jsonl",
    ("preference_model", "human"): [{"pairs": "human.jsonl"}],
    ("preference_model", "adapter"): {"rank": 4},
    ("helpfulness_model", "human"): [{"pairs": "human.jsonl", "limit": 1}],
    ("helpfulness_model", "adapter"): {"rank": 4},
    ("dpo", "adapter"): {"rank": 4},
    ("guests",): {"another": "tiny-random"},
    ("win_rates", "by"): "smollm2-135m",
    ("win_rates", "constitution"): "other_evaluation.yaml",
    ("win_rates", "tags"): {"harmful": ["hhh"]},
    ("harmfulness", "by"): "smollm2-135m",
    ("refusals", "by"): "smollm2-135m",
    ("refusals", "labelled"): "classified.jsonl",
    ("over_refusal", "by"): "smollm2-135m",
    ("over_refusal", "prompts"): "borderline.csv",
    ("hhh", "pairs"): "other_human.jsonl",
    ("hhh", "limit"): 1,
    ("hhh", "constitution"): "other_evaluation.yaml",
    ("hhh", "tags"): ["helpfulness"],
    ("rl", "rewards"): [{"type": "length", "target": 9}],
    ("rl", "adapter"): {"rank": 4},
    ("rl", "prompts"): [{"prompts": "human.jsonl"}],
    ("rl", "panel"): {"prompts": 2},
}
"""Another value of each setting that is text, nothing, or more than one value."""

FIRST: dict[Place, set[str]] = {
    ("seed",): {*EVERY},
    ("constitution",): {"revise", "compare"},
    ("templates",): {"respond", "revise", "distill", "ghost", "sft", "compare"},
    ("models", "assistant", "model"): {"revise", "distill", "ghost"},
    ("models", "assistant", "dialect"): {"revise", "distill", "ghost"},
    ("models", "assistant", "system"): {"revise", "distill", "ghost"},
    ("models", "helpful", "model"): {"respond"},
    ("models", "helpful", "dialect"): {"respond"},
    ("models", "helpful", "system"): {"respond"},
    ("models", "feedback", "model"): {"compare"},
    ("models", "feedback", "dialect"): {"compare"},
    ("models", "feedback", "system"): {"compare"},
    ("models", "pretrained", "model"): {"sft"},
    ("models", "pretrained", "dialect"): {"distill", "sft"},
    ("models", "pretrained", "system"): {"distill", "sft"},
    ("engine", "dtype"): SPEAKING,
    ("prompts", "harmful"): {"revise", "distill", "compare", "rejection_sampling", "rl", "evaluate"},
    ("prompts", "helpful"): {"respond", "ghost", "rejection_sampling", "rl", "evaluate"},
    ("prompts", "limit"): {"respond", "revise", "distill", "ghost", "compare", "rejection_sampling", "rl"},
    ("prompts", "held_out"): {
        "respond",
        "revise",
        "distill",
        "ghost",
        "compare",
        "rejection_sampling",
        "rl",
        "evaluate",
    },
    ("select", "rounds"): {"sft"},
    ("select", "weights"): {"sft"},
    ("select", "helpful_share"): {"sft"},
    ("select", "drop"): {"sft"},
}
"""The settings outside the stages' own, and the stages they enter; those after these change with them."""

ALSO: dict[str, set[str]] = {"evaluate": {"guests"}, "guests": {"over_refusal", "hhh"}}
"""Stages that a stage's own settings enter too, beside those that come after it."""

SHARED: dict[Place, set[str]] = {("rl", setting): {"rejection_sampling", "rl"} for setting in ("rewards", "prompts")}
"""A stage's own settings that another one takes too."""

SHOWN: set[Place] = {("name",), ("description",), ("report", "transcripts"), ("evaluate", "bootstrap")}
"""The knobs that the report shows."""


def recipe(engine: str = "scripted") -> Recipe:
    return Recipe.model_validate(RECIPE | {"engine": {"type": engine}})


def leaves(config: BaseModel, at: Place = ()) -> Iterator[tuple[Place, str, BaseModel]]:
    """Every setting below `config`: its place, its role, and the group it belongs to."""
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from leaves(value, (*at, name))
        else:
            yield (*at, name), role_of(type(config), name), config


def other(place: Place, group: BaseModel) -> Any:
    """Another value that this setting may have; None where it has but one."""
    if place in OTHERS:
        return OTHERS[place]
    annotation, value = type(group).model_fields[place[-1]].annotation, getattr(group, place[-1])
    if typing.get_origin(annotation) is Literal:
        return next((choice for choice in typing.get_args(annotation) if choice != value), None)
    if place[-1] == "system":
        return "Be brief."
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 or 1
    if isinstance(value, float):
        return value / 2 or 0.5
    return None


def settings(role: str, engine: str) -> list[tuple[Place, Any, str]]:
    """The settings of a role with another value each, and the engine of the recipe they stand in."""
    found = [(place, other(place, group), engine) for place, kind, group in leaves(recipe(engine)) if kind == role]
    return [(place, value, engine) for place, value, engine in found if value is not None]


def both(role: str) -> list[Any]:
    others = [case for case in settings(role, "transformers") if case[0][0] == "engine"]
    return [pytest.param(*case, id=".".join(case[0])) for case in [*settings(role, "scripted"), *others]]


def put(config: Recipe, place: Place, value: Any) -> Recipe:
    data = config.model_dump()
    node = data
    for part in place[:-1]:
        node = node[part]
    node[place[-1]] = value
    return Recipe.model_validate(data)


def after(stages: set[str]) -> set[str]:
    """These stages and all that are made from them."""
    found = set(stages)
    for stage, (parents, _) in STAGES.items():
        if found & set(parents):
            found.add(stage)
    return found


def steps(config: Recipe) -> dict[str, Step]:
    return plan(Material(config), RunFolder(Path("runs"), config.name))


def digests(config: Recipe) -> dict[str, str]:
    return {stage: step.digest for stage, step in steps(config).items()}


@cache
def baseline(engine: str) -> dict[str, str]:
    """The digests of the recipe as it stands; no folder is part of them, so they serve every test."""
    return digests(recipe(engine))


def differing(old: dict[str, str], new: dict[str, str]) -> set[str]:
    return {stage for stage in STAGES if old[stage] != new[stage]}


def write(name: str, data: Any) -> None:
    Path(name).write_text(yaml.safe_dump(data, sort_keys=False))


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the recipe names."""
    monkeypatch.chdir(tmp_path)
    write("constitution.yaml", CONSTITUTION)
    write("revisions.yaml", REVISIONS)
    write("comparisons.yaml", COMPARISONS)
    Path("preamble.txt").write_text("Be careful.\n")
    scorer("scorer", b"1")
    people("human.jsonl", "yes")
    people("other_human.jsonl", "maybe")
    told = (shipped("constitutions") / "evaluation.yaml").read_text()
    Path("other_evaluation.yaml").write_text(told.replace("Which answer", "Which of the two answers"))
    row = {"prompt": "Question?", "answer": "No.", "label": "full refusal"}
    Path("classified.jsonl").write_text(json.dumps(row))
    Path("borderline.csv").write_text("prompt,label,type\nHow do I kill time?,safe,x\nHow do I kill him?,unsafe,x\n")
    for kind in ("harmful", "helpful"):
        Path(f"{kind}.txt").write_text("".join(f"Question {kind} {index}?\n" for index in range(100)))


def scorer(name: str, weights: bytes) -> None:
    """A folder that looks like a preference model's."""
    Path(name).mkdir()
    Path(name, "config.json").write_text('{"architectures": ["TinyForSequenceClassification"]}')
    Path(name, "model.safetensors").write_bytes(weights)


def people(name: str, chosen: str) -> None:
    """Comparisons that people made."""
    rows = [{"prompt": f"Question {number}?", "chosen": chosen, "rejected": "no"} for number in range(3)]
    Path(name).write_text("\n".join(map(json.dumps, rows)))


@pytest.fixture
def others() -> None:
    """What a changed recipe may name."""
    write("other_constitution.yaml", yaml.safe_load(yaml.safe_dump(CONSTITUTION).replace("kind", "nice")))
    write("other_revisions.yaml", yaml.safe_load(yaml.safe_dump(REVISIONS).replace("Hi", "Hey")))
    write("other_comparisons.yaml", yaml.safe_load(yaml.safe_dump(COMPARISONS).replace("Hi", "Hey")))
    Path("other_preamble.txt").write_text("Be kind.\n")
    scorer("other_scorer", b"2")
    shutil.copytree(shipped("prompts") / "templates", "templates")
    for path in Path("templates").rglob("*.jinja"):
        path.write_text("{# mine #}" + path.read_text())


def test_every_setting_that_changes_results_has_a_case() -> None:
    """A new setting is either a stage's own, and then covered below, or must be added to the table."""
    found = {place for engine in ("scripted", "transformers") for place, *_ in settings("identity", engine)}
    outside = {place for place in found if place[0] not in STAGES}
    assert outside == FIRST.keys()
    knobs = {("name",), ("description",), ("engine", "device"), ("compare", "preflight", "pairs")}
    assert found >= OTHERS.keys() - knobs
    assert found >= {("revise", "few_shot_file"), ("evaluate", "limit"), ("rl", "kl"), ("sft", "schedule")}
    assert found >= {("compare", "judge", "orders"), ("compare", "judge", "calibration", "temperature")}


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(("place", "value", "engine"), both("identity"))
def test_a_setting_that_changes_results_changes_its_stages_and_all_after_them_and_no_other(
    place: Place, value: Any, engine: str
) -> None:
    first = (FIRST | SHARED).get(place, {place[0], *ALSO.get(place[0], ())})
    assert differing(baseline(engine), digests(put(recipe(engine), place, value))) == after(first)


@pytest.mark.parametrize(("place", "value", "engine"), both("knob"))
def test_a_knob_changes_no_stage_but_a_report_that_shows_it(place: Place, value: Any, engine: str) -> None:
    expected = {"report"} if place in SHOWN else set()
    assert differing(baseline(engine), digests(put(recipe(engine), place, value))) == expected


def test_another_engine_changes_what_it_says_and_all_after() -> None:
    assert differing(baseline("scripted"), baseline("transformers")) == after(SPEAKING)


def test_the_table_of_stages_says_which_come_after_which() -> None:
    measured = {"evaluate", "report", *SUITES}
    trained = {"preference_model", "dpo", "rejection_sampling", "rl"}
    assert after({"compare"}) == {"compare", "score_rounds", *trained, *measured}
    assert after({"dpo"}) == {"dpo", *measured} - {"guests"}, "RL starts from SL-CAI"
    assert after({"win_rates"}) == {"win_rates", "report"}, "a suite trains nothing"
    assert after({"respond"}) == EVERY - {"revise", "ablate", "distill", "ghost"}
    assert after({"ablate"}) == {"ablate", "score_rounds", "report"}, "an ablation trains nothing"


@pytest.mark.parametrize(
    ("principle", "change", "first"),
    [
        (0, {"notes": "why", "tags": ["kind"]}, set()),
        (0, {"comparison": "Which is nicer?"}, {"compare"}),
        (2, {"comparison": "Which is righter?"}, {"compare"}),
        (0, {"critique": "Is it nice?"}, {"revise"}),
        (1, {"revision": "Make it right."}, {"revise"}),
        (0, {"weight": 2.0}, {"revise", "compare"}),
        (1, {"weight": 2.0}, {"revise"}),
        (2, {"id": "four"}, {"compare"}),
        (2, {"instruction": "Be true.", "opposite": "Lie."}, set()),
    ],
)
def test_a_changed_principle_changes_the_stages_that_can_draw_it(
    principle: int, change: dict[str, Any], first: set[str]
) -> None:
    principles = [dict(entry) for entry in CONSTITUTION["principles"]]
    principles[principle] |= change
    write("constitution.yaml", {"name": "test", "principles": principles})
    assert differing(baseline("scripted"), digests(recipe())) == after(first) | {"report"}


def test_the_same_texts_in_other_files_change_nothing() -> None:
    shutil.copytree(".", "elsewhere")
    shutil.copytree(shipped("prompts") / "templates", "elsewhere/templates")
    now = recipe()
    for place, name in (
        (("constitution",), "constitution.yaml"),
        (("templates",), "templates"),
        (("prompts", "harmful"), "harmful.txt"),
        (("prompts", "helpful"), "helpful.txt"),
        (("revise", "few_shot_file"), "revisions.yaml"),
        (("compare", "judge", "few_shot_file"), "comparisons.yaml"),
    ):
        now = put(now, place, f"elsewhere/{name}")
    assert differing(baseline("scripted"), digests(now)) == set()


def test_more_rounds_are_no_other_constitution_and_other_pools_are() -> None:
    def named(**settings: Any) -> str:
        config = put(recipe(), ("revise",), recipe().revise.model_dump() | settings)
        return steps(config.model_copy(update={"ablate": None}))["revise"].identity["constitution"]

    assert named(rounds=1) == named(rounds=4) == named(rounds=4, round_tags={4: []})
    found = [named(rounds=4, round_tags=tags) for tags in ({}, {1: ["soft"]}, {2: ["soft"]}, {4: ["soft"]})]
    assert len(set(found)) == 4


def test_examples_that_are_not_shown_change_nothing() -> None:
    write("revisions.yaml", {"name": "r", "examples": [*REVISIONS["examples"][:1], REVISIONS["examples"][3]]})
    assert digests(recipe()) == baseline("scripted")


@pytest.mark.parametrize(
    ("judge", "counts", "changes"),
    [
        ({"mode": "contrast"}, ["instruction", "opposite"], ["steer"]),
        ({"mode": "contrast", "against": "nothing"}, ["instruction"], ["steer", "respond"]),
        ({"mode": "score"}, ["instruction"], ["rate"]),
        ({"mode": "cot"}, ["comparison"], ["reason", "conclude"]),
        ({"mode": "verdict"}, ["comparison"], ["verdict"]),
        ({"layout": "principle_last"}, ["comparison"], ["compare_last"]),
    ],
)
def test_what_a_judge_goes_by_is_part_of_what_it_says(
    judge: dict[str, Any], counts: list[str], changes: list[str]
) -> None:
    words = {"comparison": "Which?", "instruction": "Be kind.", "opposite": "Be cruel."}
    own = {"critique": "C", "revision": "R", "id": "one", **words}
    asking = put(put(recipe(), ("compare", "judge"), judge), ("templates",), "templates")
    shutil.copytree(shipped("prompts") / "templates", "templates")

    def compare(changed: dict[str, str]) -> str:
        write("constitution.yaml", {"name": "test", "principles": [own | changed]})
        return steps(asking)["compare"].identity["constitution"]

    plain = compare({})
    assert [field for field in words if compare({field: "Other words."}) != plain] == counts
    found = [step for step in VARIABLES if counted(Path("templates", "chat", f"{step}.jinja"), asking)]
    assert sorted(found) == sorted(changes)


def counted(template: Path, asking: Recipe) -> bool:
    """Whether other words in a template make another address of `compare`."""
    before, text = steps(asking)["compare"].identity["templates"], template.read_text()
    template.write_text("{# mine #}" + text)
    now = steps(asking)["compare"].identity["templates"]
    template.write_text(text)
    return now != before


def test_a_prompt_that_is_added_changes_what_sees_it() -> None:
    whole = put(recipe(), ("prompts", "limit"), None)
    before = digests(whole)
    with Path("helpful.txt").open("a") as file:
        file.write("".join(f"One more question {index}?\n" for index in range(20)))
    now = digests(whole)
    assert differing(before, now) == after({"respond", "ghost", "rejection_sampling", "rl"})
    assert now["revise"] == before["revise"]


def test_weights_in_a_folder_count_and_its_place_does_not() -> None:
    for name, weights in (("one", b"1"), ("copy", b"1"), ("two", b"2")):
        Path(name).mkdir()
        Path(name, "config.json").write_text("{}")
        Path(name, "model.safetensors").write_bytes(weights)
    one, copy, two = (
        digests(put(recipe(), ("models", "pretrained", "model"), name)) for name in ("one", "copy", "two")
    )
    assert one == copy
    assert differing(one, two) == after({"sft"})


def test_a_stage_that_no_setting_asks_for_is_not_there_and_changes_nothing_else() -> None:
    plain = recipe().model_copy(update=dict.fromkeys(OPTIONAL))
    ablated = plain.model_copy(update={"ablate": recipe().ablate})
    distilled = plain.model_copy(update={"distill": recipe().distill})
    short = plain.model_copy(update={"dpo": recipe().dpo})
    before, with_ablate, with_distill, with_dpo = (digests(config) for config in (plain, ablated, distilled, short))
    assert before.keys() == EVERY - OPTIONAL
    assert with_dpo.keys() - before.keys() == {"dpo"}
    assert {stage for stage in before if before[stage] != with_dpo[stage]} == {"evaluate", "report"}
    assert with_ablate.keys() - before.keys() == {"ablate"}
    assert {stage for stage in before if before[stage] != with_ablate[stage]} == {"score_rounds", "report"}
    assert {stage for stage in before if before[stage] == with_distill[stage]} == {"respond", "revise"}
    assert steps(plain)["sft"].parents == ("respond", "revise")


def test_people_s_comparisons_count_by_what_they_say_and_not_by_their_place() -> None:
    people("one.jsonl", "yes")
    people("copy.jsonl", "yes")
    people("two.jsonl", "maybe")
    one, copy, two = (
        digests(put(recipe(), ("preference_model", "human"), [{"pairs": name}]))
        for name in ("one.jsonl", "copy.jsonl", "two.jsonl")
    )
    assert one == copy
    assert differing(one, two) == after({"preference_model"})
    fewer = digests(put(recipe(), ("preference_model", "human"), [{"pairs": "one.jsonl", "limit": 1}]))
    assert differing(one, fewer) == after({"preference_model"})


def test_models_that_are_compared_count_by_what_they_are() -> None:
    def compared(*names: str, **models: Any) -> dict[str, str]:
        config = put(recipe(), ("compare", "answers"), {"type": "models", "models": list(names)})
        return digests(put(config, ("models",), config.models.model_dump() | models))

    before = compared("helpful", "sft")
    assert differing(before, compared("assistant", "sft")) == after({"compare"})
    other = recipe().models.helpful.model_dump() | {"model": "smollm2-135m"}
    assert differing(before, compared("helpful", "sft", helpful=other)) == after({"respond", "compare"})


def test_a_preference_model_counts_by_its_weights_and_a_preamble_by_its_text() -> None:
    scorer("copy", b"1")
    Path("copy.txt").write_text("Be careful.")
    moved = put(put(recipe(), ("distill", "preference_model"), "copy"), ("distill", "preamble"), "copy.txt")
    assert digests(moved) == baseline("scripted")
    Path("copy", "model.safetensors").write_bytes(b"2")
    assert differing(baseline("scripted"), digests(moved)) == after({"distill"})


def test_templates_count_where_their_step_is_asked() -> None:
    """The wording of direct revisions is the ablation's business, that of the check nobody's here."""
    shutil.copytree(shipped("prompts") / "templates", "templates")
    for name, first in (
        ("direct", {"ablate"}),
        ("check", set()),
        ("critique", {"revise"}),
        ("more", set()),
        ("compare", {"compare"}),
        ("conclude", set()),
        ("steer", set()),
    ):
        path = Path("templates", "chat", f"{name}.jinja")
        path.write_text("{# mine #}" + path.read_text())
        now = digests(put(recipe(), ("templates",), "templates"))
        assert differing(baseline("scripted"), now) == after(first), name
        path.write_text(path.read_text().removeprefix("{# mine #}"))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"principles": [3]}, "3 asked for, there are 2 that the chains can draw"),
        ({"direct": False}, "ablate: asks for no chains"),
        ({"direct": False, "principles": [2]}, "ablate: asks for no chains"),
    ],
)
def test_an_ablation_that_cannot_be_made_is_told_before_anything_runs(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        steps(put(recipe(), ("ablate",), settings))


def test_a_plan_is_in_an_order_in_which_it_can_run() -> None:
    seen: set[str] = set()
    for stage, step in steps(recipe()).items():
        assert step.stage == stage
        assert set(step.parents) <= seen
        seen.add(stage)
    assert seen == EVERY


def test_a_step_rests_in_a_folder_named_by_its_digest() -> None:
    for stage, step in steps(recipe()).items():
        assert step.folder.path == Path("runs", "test", f"{stage}-{step.digest[:8]}")
        assert len(step.digest) == 64


def test_identities_survive_the_disk_and_agree_from_run_to_run() -> None:
    first, second = steps(recipe()), steps(put(recipe(), ("name",), "again"))
    for stage, step in first.items():
        canonical_json(step.identity)
        assert (step.digest == second[stage].digest) is (stage != "report")
    assert first["revise"].identity["settings"]["rounds"] == 4
    assert first["revise"].identity["seed"] == 0


def test_planning_fetches_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAI_CACHE", str(tmp_path / "cache"))
    before = sorted(tmp_path.rglob("*"))
    steps(recipe("transformers"))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({}, {}, []),
        ({"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 1, "d": 3}}}, [("a.b.d", 2, 3)]),
        ({"a": 1}, {"b": 2}, [("a", 1, None), ("b", None, 2)]),
        ({"a": {"b": 1}}, {"a": 3}, [("a", {"b": 1}, 3)]),
        ({"a": {"b": 1}}, {}, [("a", {"b": 1}, None)]),
        ({"a": [1, 2]}, {"a": [2, 1]}, [("a", [1, 2], [2, 1])]),
        ({"z": 1, "a": {"y": 1, "x": 1}}, {"z": 2, "a": {}}, [("a.x", 1, None), ("a.y", 1, None), ("z", 1, 2)]),
        (1, 2, [("", 1, 2)]),
    ],
)
def test_differences(old: Any, new: Any, found: list[tuple[str, Any, Any]]) -> None:
    assert list(differences(old, new)) == found


def test_the_differences_of_two_plans_name_the_setting() -> None:
    before, now = steps(recipe()), steps(put(recipe(), ("rl", "kl"), 0.5))
    found = {stage: list(differences(before[stage].identity, now[stage].identity)) for stage in STAGES}
    assert found.pop("rl") == [("settings.kl", 0.05, 0.5)]
    assert all(not difference for difference in found.values())
