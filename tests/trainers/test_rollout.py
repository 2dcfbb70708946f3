"""Rollouts: what is written, where it ends, and what is said of it, against one answer at a time without padding."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_data import classifier, small, tokenizer
from rl_data import tasks
from transformers import AutoModelForCausalLM

from cai.prompts import Rendered
from cai.trainers.actor_critic import load
from cai.trainers.critic import ValueHead
from cai.trainers.mixing import Task
from cai.trainers.rollout import _ended, read, seeds_of, write
from cai.weights import resolve

CPU = torch.device("cpu")


def written(count: int = 6, max_tokens: int = 8, temperature: float = 1.0, batch: int = 4) -> tuple[Any, Any]:
    policy: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    asked = [
        *tasks("harmful", 1) * (count - 1),
        Task(Rendered(text="A much longer question, in a transcript."), "helpful"),
    ]
    return asked, write(policy, tokenizer(), asked, seeds_of(count, 1), max_tokens, temperature, batch)


def test_rows_hold_prompt_and_answer_without_columns_of_padding_alone() -> None:
    asked, found = written()
    assert [sample.prompt for sample in found.samples] == [task.prompt for task in asked]
    assert [sample.kind for sample in found.samples] == [task.kind for task in asked]
    for rows in (torch.tensor([0]), torch.tensor([0, 5]), torch.arange(6)):
        tokens, seen, width = found.rows(rows)
        assert tokens.shape == seen.shape
        assert seen[:, 0].any() and seen[:, -1].any() and width == max(found.samples[r].tokens for r in rows)
    tokens, seen, width = found.rows(torch.tensor([2]))
    assert seen.all() and found.samples[2].tokens == width
    text = tokenizer().decode(tokens[0, -width:], skip_special_tokens=True).strip()
    assert found.samples[2].answer == text


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_and_values_are_those_of_each_answer_alone(tmp_path: Path, temperature: float) -> None:
    _, found = written(temperature=temperature)
    judge = classifier(tmp_path / "judge")
    model, reference = load("tiny-random", judge, small(), CPU)
    with torch.no_grad():
        for weight in model.policy.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(7)))
    told = read(model, reference, found, temperature, batch=3)
    start: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    for row, sample in enumerate(found.samples):
        tokens, _, width = found.rows(torch.tensor([row]))
        assert width == sample.tokens
        for whole, one in ((told.log_probs, model.policy), (told.reference, start)):
            assert whole[row, :width].tolist() == pytest.approx(slow(one, tokens, width, temperature), abs=1e-4)
            assert not whole[row, width:].any()
        with torch.no_grad():
            values = model.critic(tokens, torch.ones_like(tokens), torch.arange(tokens.size(1))[None])
        torch.testing.assert_close(told.values[row, :width], values[0, -width - 1 : -1])
    assert (told.log_probs - told.reference).abs().max() > 1e-3


def test_a_head_reads_the_hidden_state_right_before_each_token() -> None:
    _, found = written()
    model, reference = load("tiny-random", None, small(critic="head"), CPU)
    assert not read(model, reference, found, 1.0, 3).values.any()
    assert isinstance(model.critic, ValueHead)
    torch.nn.init.normal_(model.critic.linear.weight, generator=torch.Generator().manual_seed(0))
    told = read(model, reference, found, 1.0, batch=3)
    for row, sample in enumerate(found.samples):
        tokens, _, width = found.rows(torch.tensor([row]))
        with torch.no_grad():
            hidden = model.policy(tokens, output_hidden_states=True).hidden_states[-1]
            values = model.critic(hidden)[0, -width - 1 : -1]
        torch.testing.assert_close(told.values[row, : sample.tokens], values, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def slow(model: Any, tokens: Any, width: int, temperature: float) -> list[float]:
    """Token by token, from the start of the text."""
    found = []
    for place in range(tokens.size(1) - width, tokens.size(1)):
        logits = model(tokens[:, :place]).logits[0, -1] / temperature
        found.append(float(torch.log_softmax(logits, -1)[tokens[0, place]]))
    return found


def test_tokens_are_drawn_from_the_whole_distribution_whatever_the_model_s_own_settings_say() -> None:
    policy: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    policy.generation_config.top_k, policy.generation_config.repetition_penalty = 1, 5.0
    asked = tasks("harmful", 1) * 400
    found = write(policy, tokenizer(), asked, seeds_of(400), 1, 1.0, 400)
    model, reference = load("tiny-random", None, small(critic="head"), CPU)
    log_probs = read(model, reference, found, 1.0, 64).log_probs[:, 0]
    tokens, seen, _ = found.rows(torch.tensor([0]))
    with torch.no_grad():
        entropy = float(model(tokens, seen, 1).entropy)
    assert -float(log_probs.mean()) == pytest.approx(entropy, abs=4 * float(log_probs.std()) / 20)
    assert found.answers.unique().numel() > 100


def test_each_answer_is_decided_by_its_own_seed() -> None:
    (_, one), (_, same) = written(), written()
    assert torch.equal(one.answers, same.answers)
    asked = tasks("harmful", 1) * 3
    policy: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    found = write(policy, tokenizer(), asked, [5, 6, 5], 8, 1.0, 3)
    assert found.answers[0].tolist() == found.answers[2].tolist() != found.answers[1].tolist()


@pytest.mark.parametrize("batch", [1, 2, 6])
def test_what_is_written_beside_an_answer_does_not_change_it(batch: int) -> None:
    (_, one), (_, other) = written(batch=4), written(batch=batch)
    assert [sample.answer for sample in one.samples] == [sample.answer for sample in other.samples]


def test_tokens_are_drawn_as_often_as_the_model_would_have_them() -> None:
    """Against the model's own probabilities at this temperature, token by token; 99.9 % of such checks would pass."""
    policy: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    policy.lm_head.weight.data.mul_(20)  # far from uniform
    asked, count = tasks("harmful", 1), 4000
    found = write(policy, tokenizer(), asked * count, seeds_of(count), 1, 0.7, count)
    tokens, seen, _ = found.rows(torch.tensor([0]))
    with torch.no_grad():
        expected = torch.softmax(policy(tokens[:, :-1], attention_mask=seen[:, :-1]).logits[0, -1] / 0.7, -1)
    drawn = torch.bincount(found.answers[:, 0], minlength=len(expected)) / count
    likeliest = expected.topk(5).indices
    spread = (expected * (1 - expected) / count).sqrt()
    assert float(expected[likeliest[0]]) > 3 / len(expected)
    assert ((drawn - expected).abs() < 4 * spread)[likeliest].all()


def ids(text: str) -> list[int]:
    return tokenizer()(text, add_special_tokens=False)["input_ids"]


END = tokenizer().eos_token_id


@pytest.mark.parametrize(
    ("given", "stop", "kept", "answer", "finished"),
    [
        ([*ids("Hello"), END, 0, 0], (), 6, "Hello", True),
        (ids("Hello"), (), 5, "Hello", False),
        ([END, 0], (), 1, "", True),
        (ids(" Hi.\n\nHuman: And"), ("\n\nHuman:",), len(" Hi.\n\nHuman:"), "Hi.", True),
        ([*ids("Hi"), END, *ids("\n\nHuman:")], ("\n\nHuman:",), 3, "Hi", True),
        (ids("one two three"), ("three", "two"), len("one two"), "one", True),
    ],
)
def test_an_answer_ends_where_the_reward_s_text_does(
    given: list[int], stop: tuple[str, ...], kept: int, answer: str, finished: bool
) -> None:
    tokens, sample = _ended(tokenizer(), Task(Rendered(text="Q", stop=stop), "harmful"), given)
    assert tokens == given[:kept]
    assert (sample.answer, sample.tokens, sample.finished) == (answer, kept, finished)


def test_writing_stops_at_stop_strings_and_nothing_after_them_is_learned() -> None:
    policy: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    letters = tuple("abcdefghijklmnopqrstuvwxyz")
    asked = [Task(Rendered(text="Q", stop=letters), "harmful") for _ in range(12)]
    found = write(policy, tokenizer(), asked, seeds_of(12, 2), 64, 1.0, 12)
    assert all(sample.finished for sample in found.samples)
    assert max(sample.tokens for sample in found.samples) < 64
    for row, sample in enumerate(found.samples):
        tokens = found.answers[row, : sample.tokens].tolist()
        text = tokenizer().decode(tokens, skip_special_tokens=True)
        assert tokens[-1] == END or text[-1] in letters
        assert not set(letters) & set(sample.answer)
        assert found.mask[row].sum() == sample.tokens
