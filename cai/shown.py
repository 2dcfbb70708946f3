"""What a judge was shown, in its very words: of each record that it left, from what the run's recipe names today."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cai.constitution import Principle, seen
from cai.errors import InputError
from cai.evaluation_config import Asking, HarmfulnessConfig, WinRatesConfig
from cai.evaluation_material import judge_model, rules
from cai.judge.asked import Shown
from cai.judge.of_recipe import silent, silent_judge, silent_suite_judge
from cai.material import Material
from cai.prompts import Step
from cai.records import Classified, Comparison, Harm, Match, OverRefusal, Prompt, Reading, Record
from cai.suite_inputs import judged

STAGES: dict[str, type[Record]] = {
    "compare": Comparison,
    "win_rates": Match,
    "harmfulness": Harm,
    "refusals": Classified,
    "over_refusal": OverRefusal,
}
"""The stages whose records can be shown so."""


@dataclass(frozen=True)
class Question:
    """What was put to the judge once. `about`: what sets it apart from the other questions about a record.

    `logprobs`: what was read, log p in nats, raw. `reading`: of two answers, what was made of it.
    """

    about: str
    shown: tuple[Shown, ...]
    logprobs: Mapping[str, float]
    reading: Reading | None = None


def questions(material: Material, stage: str, record: Any) -> tuple[Question, ...]:
    """All that the judge was asked about a record of `stage`, in the order in which it is stored.

    Raises InputError where the recipe, the constitution or a template that was asked by is gone.
    """
    return tuple(_ASKED[stage](material, record))


def principles(material: Material, stage: str) -> dict[str, Principle]:
    """The principles that the judge of a stage can be asked by, by id."""
    if stage != "win_rates":
        return {one.id: one for one in material.constitution.principles}
    config = _config(material, "win_rates")
    assert isinstance(config, WinRatesConfig)
    return {one.id: one for one in rules(material, config, judge_model(material, config)).principles}


def same(material: Material, stage: str, identity: Mapping[str, Any]) -> bool:
    """Whether templates, principles and worked examples are those that the digest of a stored stage speaks of."""
    return all(identity.get(name, value) == value for name, value in _now(material, stage).items())


def _now(material: Material, stage: str) -> dict[str, Any]:
    if stage == "compare":
        config, feedback = material.recipe.compare, material.recipe.models.feedback
        return {
            "templates": material.templates(feedback).digest(*config.judge.steps),
            "constitution": [seen(material.pools(use), use) for use in material.judged_by],
            "opening": material.constitution.opening,
        }
    config = _config(material, stage)
    model = judge_model(material, config)
    templates = {"templates": material.templates(model).digest(*_steps(config))}
    return {**templates, **(judged(material, config, model) if isinstance(config, WinRatesConfig) else {})}


def _steps(config: Asking) -> tuple[Step, ...]:
    if isinstance(config, WinRatesConfig):
        return config.judge.steps
    return ("harm",) if isinstance(config, HarmfulnessConfig) else ("refusal", "evasion")


def _config(material: Material, stage: str) -> Asking:
    config = getattr(material.recipe, stage)
    if config is None:
        raise InputError(f"the recipe of this run has no settings for {stage!r} any more")
    return config


def _compared(material: Material, one: Comparison) -> Iterator[Question]:
    yield from _readings(silent_judge(material).shown(one))


def _matched(material: Material, one: Match) -> Iterator[Question]:
    config = _config(material, "win_rates")
    assert isinstance(config, WinRatesConfig)
    yield from _readings(silent_suite_judge(material, config, one.prompt.kind).shown(one))


def _readings(found: Iterator[Any]) -> Iterator[Question]:
    try:
        for reading, shown in found:
            seated = f", answer {reading.first} shown as (A)" if reading.first else ""
            yield Question(f"under {reading.principle}{seated}", tuple(shown), reading.logprobs, reading)
    except KeyError as error:
        raise InputError(f"the constitution has no principle {error} any more") from None


def _rated(material: Material, one: Harm) -> Iterator[Question]:
    model = silent(material, judge_model(material, _config(material, "harmfulness")))
    prompt = model.templates.render("harm", messages=one.prompt.messages, response=one.answer)
    yield Question("the rating, 0 to 4", (Shown("question", prompt, tuple(one.logprobs)),), one.logprobs)


def _classified(material: Material, one: Classified) -> Iterator[Question]:
    yield from _conduct(material, "refusals", one, one.prompt, one.answer)


def _borderline(material: Material, one: OverRefusal) -> Iterator[Question]:
    yield from _conduct(material, "over_refusal", one, one.prompt, one.response.text)


def _conduct(
    material: Material, stage: str, one: Classified | OverRefusal, prompt: Prompt, answer: str
) -> Iterator[Question]:
    """Each order of the classes, then each of evasion, as cai/stages/classify.py asks them."""
    templates = silent(material, judge_model(material, _config(material, stage))).templates
    asked: tuple[tuple[Step, tuple[dict[str, float], ...]], ...] = (
        ("refusal", one.conduct.refusal),
        ("evasion", one.conduct.evasion),
    )
    for step, orders in asked:
        for order in orders:
            shown = templates.render(step, messages=prompt.messages, response=answer, options=tuple(order))
            yield Question(f"{step}, in the order {', '.join(order)}", (Shown("question", shown),), order)


_ASKED: dict[str, Callable[[Material, Any], Iterator[Question]]] = {
    "compare": _compared,
    "win_rates": _matched,
    "harmfulness": _rated,
    "refusals": _classified,
    "over_refusal": _borderline,
}
