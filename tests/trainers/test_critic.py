"""The value function: the preference model's score at every position, or a head that begins at 0."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ppo_data import classifier
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification, LlamaConfig
from transformers import LlamaForSequenceClassification as Llama

from cai.errors import InputError
from cai.trainers.actor_critic import positions
from cai.trainers.critic import ValueHead, load_critic

VOCABULARY = 259


def test_a_value_is_the_preference_model_s_score_of_the_text_so_far(tmp_path: Path) -> None:
    start = classifier(tmp_path / "judge")
    model: Any = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1)
    tokens = torch.tensor([[5, 9, 200, 31, 7]])
    with torch.no_grad():
        values = load_critic(start, VOCABULARY)(tokens, torch.ones_like(tokens), torch.arange(5)[None])
        for end in range(1, 6):
            score = model(tokens[:, :end], attention_mask=torch.ones(1, end)).logits[0, 0]
            torch.testing.assert_close(values[0, end - 1], score)
    assert values.unique().numel() == 5


def test_padding_on_either_side_changes_no_value(tmp_path: Path) -> None:
    critic = load_critic(classifier(tmp_path / "judge"), VOCABULARY)
    alone = torch.tensor([[5, 9, 200]])
    seen = torch.tensor([[0, 0, 1, 1, 1, 0]])
    with torch.no_grad():
        plain = critic(alone, torch.ones_like(alone), positions(torch.ones_like(alone)))
        inside = critic(torch.tensor([[0, 0, 5, 9, 200, 0]]), seen, positions(seen))
    torch.testing.assert_close(inside[:, 2:5], plain)


def test_a_critic_of_a_model_without_scores_says_nothing_at_first() -> None:
    critic = load_critic("tiny-random", VOCABULARY, fresh=True)
    tokens = torch.tensor([[5, 9, 200]])
    assert not critic(tokens, torch.ones_like(tokens), torch.arange(3)[None]).any()


def test_a_head_begins_at_0_and_learns() -> None:
    torch.manual_seed(0)
    head, hidden, aim = ValueHead(8), torch.randn(4, 3, 8), torch.randn(4, 3)
    assert not head(hidden).any()
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    for _ in range(400):
        loss = ((head(hidden) - aim) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    solved = torch.linalg.lstsq(torch.cat([hidden.view(12, 8), torch.ones(12, 1)], 1), aim.view(12, 1)).solution
    best = torch.cat([hidden.view(12, 8), torch.ones(12, 1)], 1) @ solved
    found = ((head(hidden) - aim) ** 2).mean().item()
    assert found == pytest.approx(((best - aim.view(12, 1)) ** 2).mean().item(), abs=1e-3)


def test_a_critic_that_does_not_know_the_policy_s_tokens_is_refused(tmp_path: Path) -> None:
    config = LlamaConfig(vocab_size=100, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    config.num_labels = 1
    Llama(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"knows 100 tokens and the policy 259.*critic: head"):
        load_critic(str(tmp_path), VOCABULARY)


def test_a_model_without_a_scalar_head_is_refused(tmp_path: Path) -> None:
    config = BertConfig(vocab_size=300, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no linear head named `score`"):
        load_critic(str(tmp_path), VOCABULARY)
