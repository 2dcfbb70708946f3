"""docs/rl.md says what the code says: its recipes load, and it names every reward, algorithm and setting of theirs."""

import re
from pathlib import Path
from typing import get_args

import pytest

from cai.config import Recipe
from cai.panel_config import PanelConfig, PanelStop
from cai.prompts import Rendered
from cai.records import Message, PanelAnswer, Prompt
from cai.reward_config import RewardConfig
from cai.rl_config import GrpoConfig, RlConfig, RlooConfig
from cai.trainers.panel import figures
from cai.trainers.reward import Sample
from cai.trainers.watched import figures as of_answers
from cai.yamlfile import parse_yaml

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "rl.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.M | re.S)
REWARDS = get_args(get_args(RewardConfig)[0])


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_recipe_of_the_page_loads(snippet: str) -> None:
    parse_yaml(f"name: a\nmodels: {{assistant: tiny}}\n{snippet}", "rl.md").check(Recipe)


@pytest.mark.parametrize("kind", REWARDS)
def test_every_reward_has_its_section_with_an_example_and_its_settings(kind: type) -> None:
    name = kind.model_fields["type"].default  # type: ignore[attr-defined]
    section = PAGE.split(f"\n### `{name}`: ")[1].split("\n##")[0]
    assert f"type: {name}" in section
    for field in kind.model_fields:  # type: ignore[attr-defined]
        assert field in section or field in ("weight", "tags"), field


@pytest.mark.parametrize("kind", get_args(get_args(RlConfig)[0]))
def test_every_algorithm_is_in_the_table_with_its_defaults(kind: type) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{kind().algorithm}` |"))
    price = f", {kind().kl:g} |" if hasattr(kind(), "kl") else " none |"
    assert f"`samples`, {kind().samples} |" in row and row.endswith(price)


def test_every_setting_and_figure_of_the_panel_is_told() -> None:
    section = PAGE.split("\n## Watching a fixed panel\n")[1].split("\n## ")[0]
    (shown,) = (parse_yaml(text, "rl.md").data["rl"]["panel"] for text in SNIPPETS if "panel:" in text)
    assert shown.keys() == PanelConfig.model_fields.keys() and shown["stop"].keys() == PanelStop.model_fields.keys()
    assert PanelConfig.model_validate(shown) == PanelConfig(stop=PanelStop(reward="preference_model_2"))
    prompt = Prompt.of((Message(role="user", content="Hi"),), "helpful", "test")
    parts = {name: values[0] for name, values in of_answers([Sample(Rendered(), "Fine.")]).items()}
    given = {"id": "0/a", "step": 0, "prompt": prompt, "response": "", "tokens": 0, "finished": True, "reward": 0.0}
    found = figures([PanelAnswer(**given, parts={"own": 1.0, **parts})])
    told = section.replace("<name>", "own")
    assert found.keys() >= {"reward/own", "helpful/refusal", "stock_phrases"}
    assert [name for name in found if f"`panel/{name}`" not in told] == ["helpful/evasive"], "told with refusals"


def test_the_examples_show_the_defaults() -> None:
    rloo, grpo = (parse_yaml(text, "rl.md").data["rl"] for text in SNIPPETS[:2])
    assert RlooConfig.model_validate(rloo) == RlooConfig()
    assert GrpoConfig.model_validate(grpo) == GrpoConfig()
