"""Trained models with their cards: what the hub reads of them, what they say, and that nothing in them can act."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from export_data import HOSTILE, completion, prompt, recipe, records, revision, stored
from huggingface_hub import ModelCard, ModelCardData
from rich.console import Console

from cai.commands.exports import export_run
from cai.config import Recipe
from cai.errors import InputError, StoreError
from cai.export.model_card import CARES, SCORES
from cai.export.models_folder import ModelsExport, export_models
from cai.export.source import open_source
from cai.records import Record
from cai.store import RunFolder
from cai.weights import hub_name

_TENSOR = b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
WEIGHTS = {"config.json": b"{}", "model.safetensors": len(_TENSOR).to_bytes(8, "little") + _TENSOR + bytes(4)}
PAIRS = {"pairs": 12, "accuracy": {"value": 0.75, "low": 0.5, "high": 0.9, "n": 12}}
SUMMARIES: dict[str, dict[str, Any]] = {
    "sft": {"rows": 17, "steps": 3, "loss": 1.75, "left_out": {"repetition": 4}},
    "preference_model": {"pairs": 8, "left_out": {"ai": {"tie": 2}}, "held_out": {"sources": {"AI feedback": PAIRS}}},
    "rl": {"steps": 5, "prompts": 10},
}


def trained(root: Path, settings: Recipe | None = None, found: dict[str, list[Record]] | None = None) -> RunFolder:
    """A run that has trained three models."""
    stages = tuple(SUMMARIES)
    run = stored(root, {**(found or records()), **{stage: [] for stage in stages}}, stages, settings)
    for stage, summary in SUMMARIES.items():
        (run.steps[stage].path / "model").mkdir()
        for name, content in WEIGHTS.items():
            (run.steps[stage].path / "model" / name).write_bytes(content)
        run.steps[stage].finish({"seconds": 1.0, **summary})
    return run


def exported(root: Path, settings: Recipe | None = None, **given: Any) -> tuple[Path, ModelsExport]:
    run = trained(root / "runs", settings, **given)
    return root / "out", export_models(open_source(run), root / "out")


def card(root: Path, stage: str = "rl", settings: Recipe | None = None, **given: Any) -> str:
    return (exported(root, settings, **given)[0] / stage / "README.md").read_text("utf-8")


def smol(**changes: Any) -> Recipe:
    return recipe(models={"assistant": "smollm2-135m"}, **changes)


def test_every_trained_model_is_there_with_its_card_and_its_rules(tmp_path: Path) -> None:
    folder, made = exported(tmp_path)
    assert made.models == ("sft", "preference_model", "rl")
    for stage in made.models:
        names = {path.name for path in (folder / stage).iterdir()}
        assert names == {*WEIGHTS, "README.md", "constitution.yaml", "recipe.yaml"}
    kept = tmp_path / "runs" / "made"
    assert {path.name for path in (kept / "rl-01234567" / "model").iterdir()} == set(WEIGHTS)


def test_the_hub_reads_the_header(tmp_path: Path) -> None:
    folder, _ = exported(tmp_path, smol())
    for stage, task in (("sft", "text-generation"), ("preference_model", "text-classification")):
        read = ModelCard.load(folder / stage / "README.md", ignore_metadata_errors=False).data
        assert isinstance(read, ModelCardData)
        assert read.base_model == ["HuggingFaceTB/SmolLM2-135M-Instruct"] and read.license == "apache-2.0"
        assert (read.pipeline_tag, read.library_name) == (task, "transformers")
        assert read.tags and {"constitutional-ai", stage.replace("_", "-")} <= set(read.tags)


def test_a_base_model_that_has_no_name_on_the_hub_is_not_made_up(tmp_path: Path) -> None:
    text = card(tmp_path, settings=recipe(models={"assistant": str(tmp_path / "mine")}))
    header: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    assert "base_model" not in header and header["license"] == "other"
    assert "Base model: mine." in text and str(tmp_path) not in text
    assert "a choice that is yours" in text


def test_it_says_what_it_learned_from_how_and_what_was_measured(tmp_path: Path) -> None:
    folder, _ = exported(tmp_path, recipe(description="Why it was made.", seed=7))
    texts = {stage: (folder / stage / "README.md").read_text("utf-8") for stage in SUMMARIES}
    for said in ("Why it was made.", "arXiv:2212.08073", "Seed: 7", "principles"):
        assert all(said in text for text in texts.values()), said
    assert "| rows | 17 |" in texts["sft"] and "| left out, repetition | 4 |" in texts["sft"]
    assert "| left out, ai tie | 2 |" in texts["preference_model"]
    assert r"| AI feedback | 12 | 75 \[50, 90\] |" in texts["preference_model"]
    assert "RLOO (Ahmadian et al. 2024" in texts["rl"] and "| optimizer steps | 5 |" in texts["rl"]
    assert "| RL-CAI | harmful | 1 |" in texts["rl"] and "## Settings of stage `rl`" in texts["rl"]
    assert r"| prompts\_per\_step |" in texts["rl"]


def test_it_says_what_it_is_not_good_for(tmp_path: Path) -> None:
    folder, _ = exported(tmp_path)
    texts = {stage: (folder / stage / "README.md").read_text("utf-8") for stage in SUMMARIES}
    assert all(care in text for care in CARES for text in texts.values())
    assert all((SCORES[0] in text) == (stage == "preference_model") for stage, text in texts.items())
    assert "No model took part." in texts["rl"]


def test_nothing_that_a_model_wrote_is_in_it_and_what_a_user_wrote_is_text(tmp_path: Path) -> None:
    chain = [revision(prompt("PROMPT"), round_, response=completion("REPLY"), critique=None) for round_ in range(3)]
    text = card(tmp_path, settings=recipe(description=HOSTILE), found={**records(), "revise": [*chain]})
    body = text.split("---\n", 2)[2]
    assert "REPLY" not in text and "PROMPT" not in text and "javascript:1" in body
    assert not re.search(r"(?<!\\)<(img|/script)|(?<!\\)\]\(javascript|\x1b|\u202e|\nlicense", body)
    assert "{{ 1 }}" not in body and r"\{\{ 1 \}\}" in body


def test_a_model_that_changed_since_is_not_exported(tmp_path: Path) -> None:
    run = trained(tmp_path / "runs")
    (run.steps["rl"].path / "model" / "config.json").write_text('{"other": 1}')
    with pytest.raises(StoreError, match="as DONE has it"):
        export_models(open_source(run), tmp_path / "out")
    assert not (tmp_path / "out").exists() and sorted(path.name for path in tmp_path.iterdir()) == ["runs"]


def test_it_says_where_there_is_no_model_or_no_room(tmp_path: Path) -> None:
    run = stored(tmp_path / "runs", records())
    with pytest.raises(InputError, match="has trained no model yet"):
        export_models(open_source(run), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(InputError, match="holds something"):
        export_models(open_source(trained(tmp_path / "more")), tmp_path / "full")


def test_the_command_says_what_it_wrote_and_what_to_look_at(tmp_path: Path) -> None:
    trained(tmp_path / "runs", recipe(prompts={"harmful": "/home/me/p.txt"}))
    out = io.StringIO()
    export_run(Console(file=out, width=200), "made", f"models:{tmp_path / 'out'}", True, tmp_path / "runs")
    said = out.getvalue()
    assert "sft, preference_model, rl" in said and "look before you share: /home/me/p.txt" in said
    assert (tmp_path / "out" / "sft" / "README.md").is_file()


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("tiny-random", ""),
        ("owner/name-1.5", "owner/name-1.5"),
        ("/home/me/model", ""),
        ("./models/mine", ""),
        ("owner/a/b", ""),
        ("owner/na\nme", ""),
    ],
)
def test_a_name_on_the_hub_is_an_alias_s_or_its_own(name: str, known: str) -> None:
    assert hub_name(name) == known
