"""Answers behind one copy of their prompt get the rewards that they get alone, or the model is not asked to."""

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BloomConfig,
    BloomForSequenceClassification,
    Gemma3TextConfig,
    Gemma3TextForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    JambaConfig,
    JambaForSequenceClassification,
    MistralConfig,
    MistralForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

from cai.encoding import answered
from cai.prompts import Templates
from cai.records import Message
from cai.trainers.shared import (
    Row,
    _separate,
    _together,
    attention_mask,
    common_start,
    lay_out,
    rewards,
    width_if_shared,
)
from cai.weights import resolve

PADDING, END = 0, 2
tokens = st.lists(st.integers(3, 60), min_size=1, max_size=12)
one_row = st.tuples(st.lists(st.integers(3, 60), max_size=12), st.lists(tokens, min_size=1, max_size=4))
rows = st.lists(one_row, min_size=1, max_size=3)
few = st.lists(st.integers(0, 2), max_size=5)


def tiny(attention: str = "sdpa", start: str = "tiny-random") -> Any:
    torch.manual_seed(0)
    kind: Any = AutoModelForSequenceClassification
    model = kind.from_pretrained(resolve(start), num_labels=1, attn_implementation=attention, dtype=torch.float32)
    model.config.pad_token_id = PADDING
    return model.eval()


SDPA, EAGER = cache(lambda: tiny("sdpa")), cache(lambda: tiny("eager"))


@pytest.fixture(scope="module", params=["sdpa", "eager"])
def model(request: pytest.FixtureRequest) -> Any:
    return tiny(request.param)


@settings(max_examples=30)
@given(asked=rows)
def test_rewards_are_those_of_each_answer_alone(model: Any, asked: list[Row]) -> None:
    with torch.no_grad():
        alone = [model(torch.tensor([p + a])).logits[0, 0].item() for p, answers in asked for a in answers]
        for laid in (_together(asked, PADDING), _separate([p + a for p, answers in asked for a in answers], PADDING)):
            assert rewards(model, laid).tolist() == pytest.approx(alone, abs=1e-5)


def test_gradients_are_those_of_each_answer_alone() -> None:
    asked: list[Row] = [([5, 6, 7, 8, 9], [[10, 11], [12, 13, 14]]), ([20, 21], [[22]])]
    found = []
    for laid in (_together(asked, PADDING), _separate([p + a for p, answers in asked for a in answers], PADDING)):
        model = tiny()
        (rewards(model, laid) * torch.tensor([1.0, -2.0, 3.0])).sum().backward()
        found.append({name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None})
    assert found[0].keys() == found[1].keys() == dict(tiny().named_parameters()).keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=1e-5), name


def seen_by(segments: list[int]) -> list[list[bool]]:
    """Written out: an earlier token is seen if it is the prompt's or the answer's own; padding sees padding."""
    seen = []
    for i, later in enumerate(segments):
        seen.append([j <= i and (earlier == later or (earlier == 0 < later)) for j, earlier in enumerate(segments)])
    return seen


@given(st.integers(0, 4), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 3))
def test_the_mask_equals_a_plain_twin(prompt: int, answers: list[int], padding: int) -> None:
    segments = [0] * prompt + [n for n, count in enumerate(answers, 1) for _ in range(count)] + [-1] * padding
    assert attention_mask(torch.tensor([segments]), SDPA()).tolist() == [[seen_by(segments)]]
    added = attention_mask(torch.tensor([segments]), EAGER())
    assert (added == 0).tolist() == [[seen_by(segments)]] and (added <= 0).all()


@given(few, st.lists(few.filter(bool), min_size=1, max_size=4))
def test_sequences_are_cut_where_they_part_and_each_keeps_a_token(start: list[int], ends: list[list[int]]) -> None:
    whole = [start + end for end in ends]
    prompt, answers = common_start(whole)
    assert [prompt + answer for answer in answers] == whole and all(answers)
    assert len(prompt) >= len(start) or min(map(len, answers)) == 1
    assert min(map(len, answers)) == 1 or len({answer[0] for answer in answers}) > 1


@pytest.mark.parametrize(
    ("prompt", "answers", "shared"),
    [
        (50, [10, 10], True),
        (50, [10], False),  # one answer shares with none
        (1, [400] * 9, False),  # attention over answers that don't see each other outweighs the prompt
        (400, [100] * 9, True),
    ],
)
def test_the_layout_of_less_work_is_taken(prompt: int, answers: list[int], shared: bool) -> None:
    row: Row = ([5] * prompt, [[6] * count for count in answers])
    assert ("segments" in lay_out([row], PADDING, 576)) == shared
    assert "segments" not in lay_out([row], PADDING, None)


SIZES: dict[str, Any] = {"vocab_size": 64, "hidden_size": 32, "num_labels": 1, "pad_token_id": PADDING}
LAYERS: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
}
GEMMA: dict[str, Any] = {
    "layer_types": ["sliding_attention", "full_attention"],
    "sliding_window": 100,
    "head_dim": 8,
    "eos_token_id": END,
}
JAMBA: dict[str, Any] = {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False, "num_experts": 1}

KINDS: dict[str, Any] = {
    "absolute positions": lambda: GPT2ForSequenceClassification(GPT2Config(**SIZES, n_layer=2, n_head=4)),
    "full attention": lambda: Qwen2ForSequenceClassification(Qwen2Config(**SIZES, **LAYERS)),
    "windows here and there": lambda: Gemma3TextForSequenceClassification(Gemma3TextConfig(**SIZES, **LAYERS, **GEMMA)),
    "window": lambda: MistralForSequenceClassification(MistralConfig(**SIZES, **LAYERS, sliding_window=100)),
    "ALiBi": lambda: BloomForSequenceClassification(BloomConfig(**SIZES, n_layer=2, n_head=4)),
    "state space": lambda: JambaForSequenceClassification(JambaConfig(**SIZES, **LAYERS, **JAMBA)),
}


@pytest.mark.parametrize(
    ("kind", "longest", "width"),
    [
        ("absolute positions", None, 32),
        ("full attention", None, 32),
        ("window", None, None),
        ("window", 101, None),
        ("window", 100, 32),
        ("windows here and there", 101, None),
        ("windows here and there", 100, 32),
        ("ALiBi", None, None),
        ("state space", None, None),
    ],
)
def test_models_that_would_read_otherwise_do_not_share(kind: str, longest: int | None, width: int | None) -> None:
    torch.manual_seed(0)
    model = KINDS[kind]().train()
    assert width_if_shared(model, PADDING, END, longest) == width
    assert model.training


def test_padding_that_is_the_end_of_text_is_not_shared() -> None:
    assert width_if_shared(tiny(), PADDING, END) == 32
    assert width_if_shared(tiny(), END, END) is None


@pytest.mark.slow
@pytest.mark.real_model
@torch.no_grad()
def test_a_real_model_gives_the_same_rewards() -> None:
    model, tokenizer = tiny(start="smollm2-135m"), AutoTokenizer.from_pretrained(resolve("smollm2-135m"))
    templates, said = Templates("chat"), ["Yes.", "No, I would rather not.", "It depends: " + "perhaps " * 60]
    sequences = []
    for asked in ("May I?", "Is it raining? " * 20):
        prompt = templates.render("respond", messages=(Message(role="user", content=asked),))
        sequences.append([answered(tokenizer, prompt, answer)[0] for answer in said])
    assert width_if_shared(model, PADDING, END) == 576
    together = rewards(model, _together([common_start(group) for group in sequences], PADDING))
    alone = rewards(model, _separate([one for group in sequences for one in group], PADDING))
    assert together.tolist() == pytest.approx(alone.tolist(), abs=1e-4)
    assert alone.std() > 1e-2
