"""A panel for the tests of the trainers, and rewards of which one rises where another one falls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rl_data import TEMPLATES, WORDS, By, letters

from cai.records import Kind, Message, PanelAnswer, Prompt
from cai.rl_config import RlConfig
from cai.store import StepFolder
from cai.trainers.mixing import Task
from cai.trainers.panel import FILE, Asked, Panel
from cai.trainers.reward import Reward, Sample
from cai.trainers.rewards import Part, Sum
from cai.trainers.watched import Watched

WATCHED: dict[str, Any] = {"prompts": 2, "every": 2}


def asked(kind: Kind, count: int = 2) -> list[Asked]:
    """Prompts that are not trained on."""
    words = [f"{WORDS[kind]} held out {number}" for number in range(count)]
    prompts = [Prompt.of((Message(role="user", content=text),), kind, "test") for text in words]
    return [Asked(one, Task(TEMPLATES.render("respond", messages=one.messages), kind)) for one in prompts]


def fooled(pull: Callable[[Sample], float] = letters) -> Reward:
    """The second part, which counts nothing, falls as the first one rises."""
    parts = [Part("function", 1.0, By(pull)), Part("function", 0.0, By(lambda one: -pull(one)))]
    return Watched(Sum(parts))


def panel(folder: Path, config: RlConfig, log: Any, reward: Reward | None = None) -> Panel:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [*asked("harmful"), *asked("helpful")]
    return Panel(rows, reward or fooled(), config, 3, StepFolder(folder), log)


def answers(folder: Path) -> list[PanelAnswer]:
    return list(StepFolder(folder).records(PanelAnswer, FILE))


def looked(folder: Path) -> list[int]:
    """The steps of the looks, in the order in which they are stored; each look is whole."""
    found = [answer.step for answer in answers(folder)]
    steps = found[::4]
    assert found == [step for step in steps for _ in range(4)]
    return steps
