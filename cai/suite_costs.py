"""What each suite of an evaluation costs at the most: calls, tokens read and written, and the records it leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

from cai.contestants import POLICIES
from cai.evaluation_material import asked, guests, hhh_pairs, labelled_answers
from cai.material import Material
from cai.records import Kind, Prompt

Cost = tuple[int, int, int]

PER_MESSAGE = 1.35
"""Tokens a word of English, about."""

QUESTIONS = 5
"""Put to the classifier of refusals about each answer: three orders of its classes, and two of evasion."""

_RUBRIC = 90
"""Tokens of a question's own words, about."""
_SAMPLE = 1000


def own(material: Material) -> int:
    """The run's own models on held-out prompts: base, and of those that are finetuned all there are."""
    return 1 + sum(material.recipe.runs(stage) for stage in POLICIES)


def _models(material: Material) -> int:
    return own(material) + len(material.recipe.guests or {})


def _held_out(material: Material, *kinds: Kind) -> tuple[int, int]:
    """How many held-out prompts of these kinds, and their tokens."""
    splits = [material.prompts[kind].held_out for kind in kinds]
    return sum(map(len, splits)), sum(_tokens(prompts) for prompts in splits)


def _tokens(prompts: Sequence[Prompt]) -> int:
    """Of all prompts, from some of them at even distances."""
    read = prompts[:: max(1, len(prompts) // _SAMPLE)]
    words = sum(len(message.content.split()) for prompt in read for message in prompt.messages)
    return round(words * PER_MESSAGE * len(prompts) / len(read)) if read else 0


def _guests(material: Material) -> Cost:
    (count, words), most = _held_out(material, "harmful", "helpful"), material.recipe.evaluate.max_tokens
    models = len(guests(material))
    return models * count, models * (2 * words + count * most), models * count * most


def _win_rates(material: Material) -> Cost:
    config, (count, words) = material.recipe.win_rates, _held_out(material, "harmful", "helpful")
    if config is None:
        return 0, 0, 0
    pairs, principles = comb(_models(material), 2), config.judge.principles
    each = pairs * (1 if principles == "all" else principles)
    shown = words + count * (2 * material.recipe.evaluate.max_tokens + _RUBRIC)
    return (
        each * count * config.judge.questions,
        each * config.judge.questions * shown,
        each * count * config.judge.written,
    )


def _harmfulness(material: Material) -> Cost:
    (count, words), models = _held_out(material, "harmful"), _models(material)
    return models * count, models * (words + count * (material.recipe.evaluate.max_tokens + _RUBRIC)), 0


def _refusals(material: Material) -> Cost:
    (count, words), models, known = _held_out(material, "harmful", "helpful"), _models(material), _labelled(material)
    shown = models * (words + count * (material.recipe.evaluate.max_tokens + _RUBRIC)) + known[1]
    return QUESTIONS * (models * count + known[0]), QUESTIONS * shown, 0


def _labelled(material: Material) -> tuple[int, int]:
    found = labelled_answers(material)
    answers = sum(len(one.answer.split()) for one in found)
    return len(found), _tokens([one.prompt for one in found]) + round(answers * PER_MESSAGE) + len(found) * _RUBRIC


def _over_refusal(material: Material) -> Cost:
    config, found, models = material.recipe.over_refusal, asked(material), _models(material)
    if config is None:
        return 0, 0, 0
    words, count = _tokens([one.prompt for one in found]), len(found)
    shown = words + QUESTIONS * (words + count * (config.max_tokens + _RUBRIC))
    return models * count * (1 + QUESTIONS), models * shown, models * count * config.max_tokens


def _hhh(material: Material) -> Cost:
    """Each language model reads both answers of each pair; each preference model reads each of them once."""
    config = material.recipe.hhh
    if config is None:
        return 0, 0, 0
    pairs = hhh_pairs(material).pairs[: config.limit]
    answers = round(PER_MESSAGE * sum(len(text.split()) for one in pairs for text in (one.chosen, one.rejected)))
    shown, models = _tokens([one.prompt for one in pairs]) + answers, _choosing(material)
    questions, written = config.judge.questions, config.judge.written
    read = models * questions * (shown + len(pairs) * _RUBRIC) + shown * len(material.recipe.preference_models)
    return models * questions * len(pairs), read, models * written * len(pairs)


def _choosing(material: Material) -> int:
    """The language models that choose: those that answer, and the judge where it is another one."""
    models = material.recipe.models
    return _models(material) + (models.feedback != models.pretrained)


SUITE_COSTS: dict[str, Callable[[Material], Cost]] = {
    "guests": _guests,
    "win_rates": _win_rates,
    "harmfulness": _harmfulness,
    "refusals": _refusals,
    "over_refusal": _over_refusal,
    "hhh": _hhh,
}
"""The most calls, tokens read and tokens written of each suite."""


def suite_records(stage: str, material: Material) -> int:
    """The records that a suite leaves in the end; 0 of any other stage."""
    if stage not in SUITE_COSTS or not material.recipe.runs(stage):
        return 0
    count, harmful = _held_out(material, "harmful", "helpful")[0], _held_out(material, "harmful")[0]
    models = _models(material)
    left: dict[str, Callable[[], int]] = {
        "guests": lambda: len(guests(material)) * count,
        "win_rates": lambda: comb(models, 2) * count,
        "harmfulness": lambda: models * harmful,
        "refusals": lambda: models * count + len(labelled_answers(material)),
        "over_refusal": lambda: models * len(asked(material)),
        "hhh": lambda: _pairs(material) * (_choosing(material) + len(material.recipe.preference_models)),
    }
    return left[stage]()


def _pairs(material: Material) -> int:
    """Labelled pairs that are asked about, at the most."""
    config = material.recipe.hhh
    return len(hhh_pairs(material).pairs[: config.limit]) if config else 0
