"""What each stage costs as a whole: calls, tokens read, tokens written or trained on, and the records it leaves.

Replies are counted at their longest, and as many of them as there can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, comb
from typing import Any

from cai.config import Recipe, ReviseConfig
from cai.constitution import Wording
from cai.demonstrations import Demonstration
from cai.feedback_config import CompareConfig, ContrastiveAnswers, CotJudge, RoundAnswers, SampledAnswers
from cai.human import Pair
from cai.material import Material
from cai.records import Kind, Prompt
from cai.reward_config import JudgeReward
from cai.reward_material import rules
from cai.rl_config import BestOfNConfig, RlConfig
from cai.stages.ablate import Variant, variants
from cai.suite_costs import SUITE_COSTS, own, suite_records

_PER_MESSAGE = 1.35
"""Tokens a word of English, about; prompts are counted in words since no tokenizer is loaded."""

_SAMPLE = 1000
"""Prompts that are read to count the words of all."""


def _words(material: Material, kind: Kind) -> int:
    return _count(material.prompts[kind].train)


def _count(prompts: Sequence[Prompt]) -> int:
    """Tokens of all prompts, from some of them at even distances: there may be millions, on disk."""
    read = prompts[:: max(1, len(prompts) // _SAMPLE)]
    words = sum(len(m.content.split()) for p in read for m in p.messages)
    return round(words * _PER_MESSAGE * len(prompts) / len(read)) if read else 0


def _example_words(examples: Any) -> int:
    return round(sum(len(str(value).split()) for e in examples for value in e.model_dump().values()) * _PER_MESSAGE)


def _principle_words(material: Material) -> int:
    fields = Wording.model_fields
    texts = [text for one in material.constitution.principles for field in fields if (text := getattr(one, field))]
    return round(sum(len(text.split()) for text in texts) / len(texts) * _PER_MESSAGE)


def _respond(material: Material) -> tuple[int, int, int]:
    config = material.recipe.respond
    calls = len(material.prompts["helpful"].train) * config.samples
    return calls, _words(material, "helpful") * config.samples, calls * config.max_tokens


def _revise(material: Material) -> tuple[int, int, int]:
    return _chains(material, material.recipe.revise, material.prompts["harmful"].train)


def _ablate(material: Material) -> tuple[int, int, int]:
    works = [_chains(material, one.config, _ablated(material), first=0) for one in _variants(material)]
    calls, prompt_tokens, tokens = map(sum, zip(*works, strict=True))
    return calls, prompt_tokens, tokens


def _chains(
    material: Material, config: ReviseConfig, prompts: Sequence[Prompt], first: int = 1
) -> tuple[int, int, int]:
    """The calls of critique-revision chains; a check before a critique writes nothing of its own."""
    chains, attempts = len(prompts) * config.samples, 1 + config.resample.times
    replies, answers = (2 * attempts, 3 * attempts) if config.critique else (attempts, attempts)
    checks = 1 if config.stop is not None else 0
    drawn = max(map(len, material.pools("revision" if config.critique else "direct")))
    principles = drawn if config.principles == "all" else min(drawn, config.principles)
    shown = _example_words(material.revision_examples) + principles * _principle_words(material)
    calls = first + config.rounds * (replies + checks)
    quoted = config.rounds * ((replies + checks) * shown + (answers + checks) * config.max_tokens)
    words = _count(prompts) * config.samples
    return (
        chains * calls,
        chains * quoted + words * calls,
        chains * (first + config.rounds * replies) * config.max_tokens,
    )


def _variants(material: Material) -> list[Variant]:
    recipe = material.recipe
    rules = material.constitution_for(material.assistant)
    return variants(recipe.ablate, recipe.revise, rules) if recipe.ablate else []


def _ablated(material: Material) -> Sequence[Prompt]:
    ablate, prompts = material.recipe.ablate, material.prompts["harmful"].train
    return prompts[: ablate.limit] if ablate else []


def _distill(material: Material) -> tuple[int, int, int]:
    """Both answers are written, and read by the preference model."""
    config, count = material.recipe.distill, len(material.prompts["harmful"].train)
    if config is None:
        return 0, 0, 0
    preamble = round(len((material.guarded.system or "").split()) * _PER_MESSAGE)
    shown = 4 * _words(material, "harmful") + count * preamble
    return 2 * count, shown + 2 * count * config.max_tokens, 2 * count * config.max_tokens


def _ghost(material: Material) -> tuple[int, int, int]:
    """Every turn is answered, and reads all turns before it, each with the instruction."""
    config, dialogues = material.recipe.ghost, material.dialogues
    if config is None:
        return 0, 0, 0
    calls, turns = len(dialogues) * config.turns, config.turns
    words = sum(len(one.instruction.split()) + len(question.split()) for one in dialogues for question in one.questions)
    again = len(dialogues) * config.max_tokens * turns * (turns - 1) // 2
    return calls, round(words * _PER_MESSAGE * (turns + 1) / 2) + again, calls * config.max_tokens


def _compare(material: Material) -> tuple[int, int, int]:
    return _compared(material, _preflight(material))


def _compared(material: Material, first: int) -> tuple[int, int, int]:
    """Answers that are sampled for it, and questions to the judge; thoughts and written verdicts are replies too."""
    config, count = material.recipe.compare, len(material.prompts["harmful"].train)
    judge, sampled, pairs = config.judge, _sampled(config), _pairs(material.recipe)
    asked = _principles_asked(material)
    questions = asked * (pairs * judge.questions + _ranking(config))
    written = (count * asked * pairs + first) * judge.written
    instructed = _principle_words(material)
    shown = _example_words(material.comparison_examples) + instructed + 2 * _longest(material.recipe)
    thought_over = written if isinstance(judge, CotJudge) else 0
    steered = count * sampled * instructed if isinstance(config.answers, ContrastiveAnswers) else 0
    put = count * questions + first * judge.questions
    read = put * shown + thought_over + steered + _words(material, "harmful") * (sampled + questions)
    return count * sampled + put, read, count * sampled * config.max_tokens + written


def _preflight(material: Material) -> int:
    """Labelled pairs that the judge is measured on first, at most; one under several principles counts for each."""
    config = material.recipe.compare
    if config.certain or not config.preflight.limit:
        return 0
    if config.preflight.pairs is not None:
        return config.preflight.limit * _principles_asked(material)
    judged = [one for one in material.constitution.principles if one.serves(config.judge.use)]
    return min(config.preflight.limit, sum(test.better is not None for one in judged for test in one.tests))


def _longest(recipe: Recipe) -> int:
    """Tokens of the longest answer that is compared."""
    return (recipe.revise if isinstance(recipe.compare.answers, RoundAnswers) else recipe.compare).max_tokens


def _sampled(config: CompareConfig) -> int:
    """Answers that are sampled for each prompt, at most: those that are in no pair are not."""
    answers = config.answers
    if isinstance(answers, RoundAnswers):
        return 0
    if not isinstance(answers, SampledAnswers):
        return 2
    return min(answers.samples, 2 * answers.pairs) if isinstance(answers.pairs, int) else answers.samples


def _pairs(recipe: Recipe) -> int:
    """Pairs made for each prompt, at most."""
    answers = recipe.compare.answers
    if isinstance(answers, RoundAnswers):
        return recipe.revise.samples
    if not isinstance(answers, SampledAnswers) or answers.pairs == "best-worst":
        return 1
    every = comb(answers.samples, 2)
    return every if answers.pairs == "all" else min(answers.pairs, every)


def _ranking(config: CompareConfig) -> int:
    """Questions for the numbers by which the best answer and the worst are found: half those for a pair, each."""
    answers = config.answers
    if not isinstance(answers, SampledAnswers) or answers.pairs != "best-worst":
        return 0
    return config.judge.questions // 2 * answers.samples


def _principles_asked(material: Material) -> int:
    """Principles that each pair is judged under: those drawn, or all; a contrastive pair is judged under its own."""
    config = material.recipe.compare
    if isinstance(config.answers, ContrastiveAnswers):
        return 0 if config.certain else 1
    able, wanted = len(material.pools(config.judge.use)[0]), config.judge.principles
    return able if wanted == "all" else min(wanted, able)


def _sft(material: Material) -> tuple[int, int, int]:
    recipe, prompts = material.recipe, material.prompts
    chains = recipe.revise.samples * _rounds_kept(recipe) if recipe.runs("revise") else 0
    answers = recipe.respond.samples if recipe.runs("respond") else 0
    guarded = recipe.distill.max_tokens if recipe.distill else 0
    harmful = len(prompts["harmful"].train) * (chains * recipe.revise.max_tokens + guarded)
    helpful = len(prompts["helpful"].train) * answers * recipe.respond.max_tokens + sum(_ghost(material)[1:])
    words = (
        _words(material, "harmful") * (chains + (recipe.distill is not None)) + _words(material, "helpful") * answers
    )
    shown = sum(_demonstrated(source) for source in material.demonstrations)
    return 0, 0, round((harmful + helpful + words + shown) * recipe.sft.epochs)


def _demonstrated(source: Sequence[Demonstration]) -> int:
    """Tokens of all answers with their prompts, from some of them at even distances."""
    read = source[:: max(1, len(source) // _SAMPLE)]
    words = sum(len(answer.split()) + sum(len(m.content.split()) for m in p.messages) for p, answer in read)
    return round(words * _PER_MESSAGE * len(source) / len(read)) if read else 0


def _rounds_kept(recipe: Recipe) -> float:
    """The rows that a chain gives, at most."""
    rule, rounds = recipe.select, range(1, recipe.revise.rounds + 1)
    if rule.rounds == "last":
        return rule.weights.get(recipe.revise.rounds, 1.0)
    return sum(rule.weights.get(one, 1.0) for one in rounds if rule.rounds == "all" or one in rule.rounds)


def _preference_model(material: Material) -> tuple[int, int, int]:
    """Each answer with its prompt, of the judge's pairs and of people's."""
    recipe = material.recipe
    answers = min(_sampled(recipe.compare) or 2 * _pairs(recipe), 2 * _pairs(recipe)) if recipe.runs("compare") else 0
    return _preferences(material, "preference_model", _answered(material, answers))


def _helpfulness_model(material: Material) -> tuple[int, int, int]:
    return _preferences(material, "helpfulness_model", 0) if material.recipe.helpfulness_model else (0, 0, 0)


def _preferences(material: Material, stage: str, judged: int) -> tuple[int, int, int]:
    """Of tokens that the judge compared, and people; those held out are read, not learned."""
    config, people = material.recipe.preference_models[stage], material.human_pairs[stage]
    tokens = judged + sum(_pair_words(pairs.pairs[: source.limit]) for source, pairs in people)
    return 0, round(tokens * config.held_out), round(tokens * config.epochs)


def _dpo(material: Material) -> tuple[int, int, int]:
    """Both answers of each of the judge's pairs, read by the reference too; pairs of later rounds are made first."""
    config = material.recipe.dpo
    if config is None:
        return 0, 0, 0
    tokens, later = _answered(material, 2 * _pairs(material.recipe)), config.rounds - 1
    calls, read, written = _compared(material, 0) if later else (0, 0, 0)
    learned = round(tokens * config.epochs)
    return later * calls, config.rounds * tokens + later * read, config.rounds * learned + later * written


def _answered(material: Material, answers: int) -> int:
    """Tokens of so many answers to each prompt, each with its prompt."""
    count = len(material.prompts["harmful"].train)
    return answers * (count * _longest(material.recipe) + _words(material, "harmful"))


def _pair_words(pairs: Sequence[Pair]) -> int:
    """Tokens of both answers of all pairs with their prompts, from some of them at even distances."""
    read = pairs[:: max(1, len(pairs) // _SAMPLE)]
    prompts = 2 * sum(len(m.content.split()) for p in read for m in p.prompt.messages)
    answers = sum(len(answer.split()) for p in read for answer in (p.chosen, p.rejected))
    return round((prompts + answers) * _PER_MESSAGE * len(pairs) / len(read)) if read else 0


def _rl(material: Material) -> tuple[int, int, int]:
    """Answers, those of the panel too; a judge among the rewards is asked about each of them."""
    config, prompts = material.recipe.rl, material.prompts
    calls = config.steps * config.prompts_per_step * config.samples
    shares: dict[Kind, float] = {"helpful": config.helpful_share, "harmful": 1 - config.helpful_share}
    shown = sum(share * _words(material, kind) / len(prompts[kind].train) for kind, share in shares.items())
    looks = _looks(config)
    written, asked = calls + looks * len(material.panel), calls * shown + looks * _count(material.panel)
    rated = _rated(material)
    judged = rated * (asked + written * (config.max_tokens + _principle_words(material)))
    return written * (1 + rated), round(judged), round(written * config.max_tokens + asked)


def _rejection_sampling(material: Material) -> tuple[int, int, int]:
    return _rl(material.sampled) if material.recipe.rejection_sampling else (0, 0, 0)


def _looks(config: RlConfig) -> int:
    """Looks at the panel: before the first step, every so many, and after the last."""
    if config.panel is None:
        return 0
    every = 1 if isinstance(config, BestOfNConfig) else config.panel.every
    return 1 + ceil(config.steps / every)


def _rated(material: Material) -> int:
    """Questions that the judges among the rewards are asked about one answer: one under each principle."""
    found = 0
    for judge in (one for one in material.recipe.rl.rewards if isinstance(one, JudgeReward)):
        wanted, able = judge.principles, len(rules(material, judge)[1])
        found += able if wanted == "all" else min(wanted, able)
    return found


def _score_rounds(material: Material) -> tuple[int, int, int]:
    return 0, (_rounds(material) + _ablated_rounds(material)) * material.recipe.revise.max_tokens, 0


def _evaluate(material: Material) -> tuple[int, int, int]:
    config, splits = material.recipe.evaluate, material.prompts.values()
    count, words = sum(len(split.held_out) for split in splits), sum(_count(split.held_out) for split in splits)
    asked = own(material)
    scored = 2 + 4 * (asked - 2) if material.recipe.runs("sft") else 2 * (asked - 1)
    shown = (asked + scored) * words + scored * count * config.max_tokens
    return (asked + scored) * count, shown, asked * count * config.max_tokens


def _report(material: Material) -> tuple[int, int, int]:
    return 0, 0, 0


COUNTS: dict[str, Callable[[Material], tuple[int, int, int]]] = {
    "respond": _respond,
    "revise": _revise,
    "ablate": _ablate,
    "distill": _distill,
    "ghost": _ghost,
    "sft": _sft,
    "compare": _compare,
    "preference_model": _preference_model,
    "helpfulness_model": _helpfulness_model,
    "dpo": _dpo,
    "rejection_sampling": _rejection_sampling,
    "rl": _rl,
    "score_rounds": _score_rounds,
    "evaluate": _evaluate,
    **SUITE_COSTS,
    "report": _report,
}
"""The most calls, tokens read and tokens written or trained on, of each stage as a whole."""


def records(stage: str, material: Material) -> int:
    """The records that a data stage leaves in the end; 0 of any other stage."""
    per_stage = {
        "respond": len(material.prompts["helpful"].train) * material.recipe.respond.samples,
        "revise": _rounds(material),
        "ablate": _ablated_rounds(material),
        "distill": len(material.prompts["harmful"].train),
        "ghost": len(material.dialogues) if material.recipe.ghost else 0,
        "compare": len(material.prompts["harmful"].train) * _pairs(material.recipe),
        "score_rounds": _rounds(material) + _ablated_rounds(material),
        "evaluate": own(material) * sum(len(split.held_out) for split in material.prompts.values()),
    }
    return per_stage.get(stage, 0) or suite_records(stage, material)


def _rounds(material: Material) -> int:
    config = material.recipe.revise
    return len(material.prompts["harmful"].train) * config.samples * (1 + config.rounds)


def _ablated_rounds(material: Material) -> int:
    return len(_ablated(material)) * sum(one.config.samples * one.config.rounds for one in _variants(material))
