"""Every recipe that ships runs through, at size `tiny`: its own stages, algorithms, rewards and formats."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from cai.config import Recipe, load_recipe, recipe_file
from cai.errors import InputError
from cai.material import Material
from cai.pipeline import run
from cai.plan import Step, plan
from cai.progress import Reporter
from cai.records import Measurement
from cai.store import RunFolder

LEFT_OUT = {
    "paper": set(),
    "paper-cot": set(),
    "dpo": {"rl"},
    "direct-rlaif": {"compare"},
    "grpo-verifiable": {"respond", "revise", "sft", "compare", "score_rounds"},
    "rlhf": {"respond", "revise", "compare", "score_rounds"},
    "llama2": {"respond", "revise", "compare", "score_rounds"},
}
"""The stages of the paper that each recipe does without."""

PAPER = {"respond", "revise", "sft", "compare", "preference_model", "rl", "score_rounds", "evaluate", "report"}
MODELS = {"sft": "SL-CAI", "dpo": "DPO", "rejection_sampling": "Best-of-n", "rl": "RL-CAI"}


def run_tiny(name: str, root: Path, *overrides: str) -> dict[str, Step]:
    recipe = load_recipe(name, ["size=tiny", *overrides])
    material = Material(recipe, recipe_file(name).parent, root)
    return run(material, RunFolder(root, recipe.name), Reporter(Console(quiet=True)))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_a_recipe_runs_through(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = run_tiny(name, tmp_path)
    assert PAPER - steps.keys() == LEFT_OUT[name]
    assert all(step.folder.done for step in steps.values())
    measured = {one.model for one in steps["evaluate"].folder.records(Measurement)}
    assert measured == {"base", *(model for stage, model in MODELS.items() if stage in steps)}
    assert (steps["report"].folder.path / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_a_recipe_is_planned_as_it_says(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["size=tiny"])
    steps = plan(Material(recipe, recipe_file(name).parent, tmp_path), RunFolder(tmp_path, recipe.name))
    assert PAPER - steps.keys() == LEFT_OUT[name]


@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["without=[respond, revise]"], "leaves sft without rows; give it `sft.demonstrations`"),
        (["without=[compare]"], "leaves preference_model without comparisons"),
        (["without=[compare]", "dpo={}", "preference_model.human=[{pairs: x}]"], "leaves dpo without comparisons"),
        (["without=[revise]", "ablate={}"], "leaves ablate without the chains"),
        (["without=[revise]", "compare.answers={type: rounds}"], "leaves compare without the rounds"),
        (["without=[evaluate]"], "without"),
    ],
)
def test_a_stage_that_is_left_without_what_it_needs_is_refused(overrides: list[str], wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe("smoke", overrides)
    assert wanted in str(caught.value)


def test_without_finetuning_the_digests_depend_on_the_model_that_stays(tmp_path: Path) -> None:
    def digests(*overrides: str) -> dict[str, str]:
        recipe = load_recipe("smoke", ["without=[respond, revise, sft]", *overrides])
        return {stage: step.digest for stage, step in plan(Material(recipe), RunFolder(tmp_path, "x")).items()}

    plain, other = digests(), digests("models.pretrained={use: assistant, dialect: transcript}")
    assert {stage for stage in plain if plain[stage] == other[stage]} == set()


def people(recipe: Recipe, stage: str = "preference_model") -> dict[str, str]:
    """What a preference model learns of people, each source by the part of hh-rlhf that it is."""
    sources = recipe.preference_models[stage].human
    assert all(one.pairs.startswith("hf:Anthropic/hh-rlhf/") for one in sources)
    return {one.pairs.rpartition("/")[2]: one.kind for one in sources}


def test_preference_models_learn_the_parts_of_hh_rlhf_that_their_papers_do() -> None:
    """The whole of it holds both kinds, so a source without its part would teach harmlessness as helpfulness."""
    helpful = dict.fromkeys(("helpful-base", "helpful-online", "helpful-rejection-sampled"), "helpful")
    for name in ("paper", "paper-cot", "rlhf"):
        assert people(load_recipe(name)) == helpful
    llama2 = load_recipe("llama2")
    assert people(llama2, "helpfulness_model") == helpful
    assert people(llama2) == {"harmless-base": "harmful", "helpful-base": "helpful"}
    for name in ("paper", "paper-cot"):
        recipe = load_recipe(name)
        assert recipe.runs("compare") and recipe.preference_model.ai_weight == 1.0, "beside the AI's, in one model"


def test_the_weight_of_the_kl_is_that_of_a_reward_that_counts_once() -> None:
    rl = load_recipe("direct-rlaif").rl
    assert rl.model_dump()["kl"] == pytest.approx(0.05 / 0.95, abs=1e-4)


def test_dpo_without_a_rate_takes_that_of_its_paper() -> None:
    recipe = load_recipe("smoke", ["dpo={}"])
    assert recipe.dpo and recipe.dpo.learning_rate == 1e-6
    lora = load_recipe("dpo").dpo
    assert lora and lora.adapter and lora.learning_rate == 1e-5, "ten times it for LoRA"


def test_the_reward_of_the_verifiable_recipe_reads_the_last_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from cai.functions import load_function

    solved = load_function("arithmetic:solved", recipe_file("grpo-verifiable").parent)
    answers = ["7 times 12 is 84", "84 apples in 7 crates", "It is 1,084.", "No idea.", "84.0"]
    assert solved(answers, [{"solution": "84"}] * 5) == [True, False, False, False, True]


@pytest.mark.slow
def test_a_report_says_nothing_of_stages_that_were_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = run_tiny("rlhf", tmp_path)["report"].folder.path
    page, summary = ((folder / f"report.{form}").read_text("utf-8") for form in ("html", "md"))
    for text in (page, summary):
        assert "judge, measured" not in text
        assert "learned from people" in text
    assert 'id="rounds"' not in page and "#rounds" not in page
