"""A panel in the whole stage: asked through the recipe, told of in DONE, and in the report."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cai.config import Recipe
from cai.material import Material
from cai.pipeline import run
from cai.progress import Reporter
from cai.records import PanelAnswer
from cai.store import RunFolder

RL: dict[str, Any] = {"prompts_per_step": 2, "max_tokens": 6, "rewards": [
    {"type": "function", "function": "panel_rewards:solved"}, {"type": "judge"},
    {"type": "length", "target": 1, "weight": 0}]}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "rloo": {"steps": 3, "samples": 2, "micro_batch": 4},
    "ppo": {"steps": 3, "critic": "head"},
    "best_of_n": {"steps": 1, "samples": 2},
}
MODULE = (
    "def solved(answers, facts):\n    return [fact['solution'] in answer for answer, fact in zip(answers, facts)]\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", SIZES)
def test_the_whole_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "panel_rewards", raising=False)  # an earlier test's, whose folder is gone
    Path("panel_rewards.py").write_text(MODULE)
    principle = {"id": "one", "critique": "C?", "revision": "R.", "comparison": "Which?", "instruction": "Be kind."}
    Path("constitution.yaml").write_text(json.dumps({"name": "test", "principles": [principle]}))
    for kind in ("harmful", "helpful"):
        rows = [{"prompt": f"{kind} {n}?", "solution": str(n)} for n in range(24)]
        Path(f"{kind}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = Recipe.model_validate(
        {
            "name": "watched",
            "constitution": "constitution.yaml",
            "models": {"assistant": "tiny-random"},
            "engine": {"type": "scripted"},
            "prompts": {"harmful": "harmful.jsonl", "helpful": "helpful.jsonl", "limit": 4, "held_out": 0.3},
            "revise": {"rounds": 1, "few_shot": 0, "max_tokens": 8},
            "respond": {"max_tokens": 8},
            "compare": {"max_tokens": 8, "preflight": {"limit": 0}},
            "rl": {**RL, **SIZES[algorithm], "algorithm": algorithm,
                   "panel": {"prompts": 2, "every": 2, "stop": {"reward": "length", "gap": 99}}},
            "evaluate": {"max_tokens": 8, "limit": 2, "bootstrap": 100},
        }
    )  # fmt: skip
    material = Material(recipe)
    steps = run(material, RunFolder(Path("runs"), "watched"), Reporter(Console(quiet=True)))
    folder = steps["rl"].folder
    last = recipe.rl.steps
    assert folder.summary["panel"]["left"] == last and folder.summary["panel"]["stopped"] is None
    found = list(folder.records(PanelAnswer, "panel.jsonl"))
    looks = sorted({answer.step for answer in found})
    assert looks == [0, *([2] if last > 2 else []), last] and len(found) == 4 * len(looks)
    assert {answer.prompt.id for answer in found} == {prompt.id for prompt in material.panel}
    trained = {prompt.id for prompts in material.rl_prompts.values() for prompt in prompts}
    assert not trained & {answer.prompt.id for answer in found}
    for answer in found:
        solution = answer.prompt.messages[-1].content.split()[1].removesuffix("?")
        assert answer.parts["function"] == float(solution in answer.response)
        assert answer.reward == pytest.approx(answer.parts["function"] + answer.parts["judge"])
        assert answer.parts["length"] == -max(0, answer.tokens - 1)
    report = (steps["report"].folder.path / "report.html").read_text()
    assert "The panel that RL was watched by" in report and f"After {last} steps" in report
