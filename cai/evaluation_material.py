"""What the suites of an evaluation name, found and checked: guests, judges, principles, prompts, labelled files."""

from __future__ import annotations

from cai.checkpoints import trained
from cai.constitution import Constitution, load_constitution
from cai.contestants import POLICIES
from cai.evaluation_config import Asking, HhhConfig, WinRatesConfig
from cai.feedback_config import CotJudge, SeatedJudge
from cai.few_shot import ComparisonExample, ReasoningExample, comparison_examples, reasoning_examples
from cai.human import Pairs, load_pairs
from cai.material import Material
from cai.models import ModelConfig
from cai.over_refusal import Asked, load_answers, load_asked
from cai.records import KINDS, Kind, Said
from cai.resources import find


def guests(material: Material) -> dict[str, ModelConfig]:
    """The further models by name; RUN/STAGE is one that an earlier run trained. Raises InputError."""
    return {name: _guest(material, model) for name, model in (material.recipe.guests or {}).items()}


def _guest(material: Material, model: ModelConfig) -> ModelConfig:
    found = trained(model.model, material.runs, POLICIES, "to answer prompts")
    if found is None or found.recipe is None:
        return model
    left = found.recipe.models.pretrained.model_copy(update={"model": str(found.folder)})
    return left.model_copy(update={name: getattr(model, name) for name in model.model_fields_set - {"model"}})


def judge_model(material: Material, config: Asking) -> ModelConfig:
    """The model that a suite asks about answers."""
    return config.by or material.recipe.models.feedback


def rules(material: Material, config: WinRatesConfig | HhhConfig, model: ModelConfig) -> Constitution:
    """The principles of a suite in the words that a model is shown. Raises InputError where none can be drawn."""
    found = load_constitution(config.constitution, material.beside).worded(model.dialect)
    for tags in tags_of(config).values():
        found.draw(config.judge.use, 0, tags=tags)
    return found


def tags_of(config: WinRatesConfig | HhhConfig) -> dict[Kind, tuple[str, ...]]:
    """By kind of prompt, the tags of the principles that can be drawn."""
    if isinstance(config, HhhConfig):
        return {config.kind: config.tags}
    return {kind: config.tags.get(kind, ()) for kind in KINDS}


def examples(
    material: Material, config: WinRatesConfig | HhhConfig, shown: Constitution
) -> tuple[ComparisonExample | ReasoningExample, ...]:
    """Worked comparisons, as the judge's settings ask for them."""
    judge = config.judge
    if not isinstance(judge, SeatedJudge):
        return ()
    own = find("constitutions", config.constitution, ".yaml", material.beside).parent
    beside = material.beside if judge.few_shot_file else own
    if isinstance(judge, CotJudge):
        return reasoning_examples(judge.few_shot_file or shown.few_shot.reasoning, judge.few_shot, beside)
    return comparison_examples(judge.few_shot_file or shown.few_shot.comparison, judge.few_shot, beside)


def asked(material: Material) -> tuple[Asked, ...]:
    """The prompts of suite `over_refusal`."""
    config = material.recipe.over_refusal
    return load_asked(config.prompts, config.limit, material.beside) if config else ()


def labelled_answers(material: Material) -> tuple[Said, ...]:
    """What the classifier of refusals is measured on; nothing where no file is given."""
    config = material.recipe.refusals
    return load_answers(config.labelled, material.beside) if config and config.labelled else ()


def hhh_pairs(material: Material) -> Pairs:
    """The comparisons of suite `hhh`."""
    config = material.recipe.hhh
    assert config
    return load_pairs(config.pairs, config.kind, material.beside)
