"""The recipe behind commands that ask a model without being a run."""

import pytest

from cai.commands.asked import asked
from cai.config import load_recipe
from cai.errors import InputError

SERVER = "engine={type: openai, base_url: 'http://127.0.0.1:9'}"


def test_one_model_plays_every_part() -> None:
    recipe = asked("some: odd/name", None, [], constitution="helpful").recipe
    assert {model.model for _, model in recipe.models} == {"some: odd/name"}
    assert recipe.constitution == "helpful"


def test_an_override_wins_over_the_model() -> None:
    recipe = asked("one", None, ["models.feedback=two", "revise.rounds=1"]).recipe
    assert (recipe.models.assistant.model, recipe.models.feedback.model, recipe.revise.rounds) == ("one", "two", 1)


def test_a_model_behind_a_server_can_be_asked_though_it_cannot_be_trained() -> None:
    assert asked("judge", None, [SERVER]).recipe.engine.type == "openai"
    with pytest.raises(InputError, match=r"models\.pretrained: this model is finetuned on this machine"):
        load_recipe("quickstart", [SERVER])
