"""docs/evaluation.md says what the code says: its recipe loads, and it names every suite, figure and class."""

import re
from pathlib import Path
from typing import get_args

import pytest

from cai.against import METRICS
from cai.config import Recipe
from cai.evaluated import SUITES
from cai.records import Does
from cai.yamlfile import parse_yaml

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "evaluation.md").read_text("utf-8")
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.M | re.S)


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_recipe_of_the_page_loads(snippet: str) -> None:
    found = parse_yaml(f"name: a\nmodels: {{assistant: tiny}}\n{snippet}", "evaluation.md").check(Recipe)
    assert all(found.runs(suite) for suite in (*SUITES, "guests"))


@pytest.mark.parametrize("suite", SUITES)
def test_it_names_every_suite(suite: str) -> None:
    assert f"| `{suite}` |" in PAGE


@pytest.mark.parametrize("name", METRICS)
def test_it_says_of_every_figure_which_suite_it_needs(name: str) -> None:
    assert re.search(rf"^\| `{name}` \| .* \| `{METRICS[name].suite}` \|$", PAGE, flags=re.M)


@pytest.mark.parametrize("does", get_args(Does))
def test_it_names_every_class(does: str) -> None:
    assert f"*{does}*" in PAGE
