"""PPO: tasks with a known answer are solved, KL holds the policy, a resumed training is the unbroken one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from ppo_data import classifier, learner, rolled, small, tokenizer
from rl_data import By, Letters, Log, Stop, letters, prompts, ruled
from transformers import AutoModelForCausalLM
from two_processes import two_processes

from cai.errors import InputError, Interrupted
from cai.rl_config import PpoConfig
from cai.trainers import ppo
from cai.trainers.actor_critic import load
from cai.trainers.ema import Ema
from cai.trainers.ppo import train_ppo
from cai.trainers.ppo_data import Texts, of_step, tasks_of
from cai.trainers.ppo_step import described, lesson
from cai.trainers.preference_reward import PreferenceReward
from cai.trainers.rollout import read
from cai.weights import resolve

CPU = torch.device("cpu")
ASKED = prompts("bad", 4)
TEXTS = ["The quick brown fox jumps over the lazy dog.", "A text.", "Another text, which is longer than the first."]


def model_of(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def train(folder: Path, config: PpoConfig, log: Log | None = None, reward: Any = None, **more: Any) -> dict[str, Any]:
    return train_ppo(ASKED, "tiny-random", reward or By(letters), folder, config, 3, log or Log(), **more)


SOLVING = {"prompts_per_step": 32, "micro_batch": 64, "max_tokens": 4, "kl": 0.0, "critic": "head"}


def test_a_task_with_a_known_optimum_is_solved(tmp_path: Path) -> None:
    log = Log()
    figures = train(tmp_path, small(**SOLVING, steps=30), log)
    assert log.of("reward")[0] < 0.35
    assert figures["reward"] > 0.9
    assert log.of("kl")[-1] > 0.5 and log.of("entropy")[-1] < log.of("entropy")[0] - 0.5


@pytest.mark.slow
def test_shorter_answers_are_learned(tmp_path: Path) -> None:
    log = Log()
    train(tmp_path, small(**SOLVING, steps=30, epochs=2), log, By(lambda sample: -float(sample.tokens)))
    assert log.of("answer_length")[0] > 3.8 and log.of("answer_length")[-1] < 2.5
    assert log.of("truncated")[-1] < log.of("truncated")[0]


@pytest.mark.slow
def test_values_come_to_foresee_the_reward(tmp_path: Path) -> None:
    """Of four tokens the critic has seen none, one, two or three: it can foresee 3/8 of the variance at best."""
    log = Log()
    settings = {**SOLVING, "critic": "separate", "learning_rate": 1e-9, "value_clip": None, "value_weight": 1.0}
    train(tmp_path, small(**settings, steps=25, epochs=4, gae=1.0), log)
    assert abs(log.of("explained_variance")[0]) < 0.01
    assert 0.1 < sum(log.of("explained_variance")[-5:]) / 5 < 0.5


@pytest.mark.slow
def test_a_very_large_kl_weight_holds_the_policy(tmp_path: Path) -> None:
    drifted = {}
    for kl in (0.0, 1000.0):
        log = Log()
        train(tmp_path / str(kl), small(**{**SOLVING, "learning_rate": 3e-3, "kl": kl}, steps=20), log)
        drifted[kl] = sum(log.of("kl")[-5:]) / 5
    assert drifted[0.0] > 0.05
    assert abs(drifted[1000.0]) < drifted[0.0] / 5


LOGGED = {
    "step", "reward", "reward/share", "reward/tokens", "kl", "kl_answer", "kl_coefficient", "entropy", "policy_loss",
    "value_loss", "explained_variance", "clipped", "approximate_kl", "answer_length", "truncated", "learning_rate",
    "grad_norm", "value_grad_norm", "tokens", "num_tokens",
    "seconds_generating", "seconds_reading", "seconds_scoring", "seconds_training",
}  # fmt: skip


def test_every_step_logs_plain_numbers_and_the_reward_sees_kinds_and_facts(tmp_path: Path) -> None:
    log, reward = Log(), Letters()
    facts = [{"answer": number} for number in range(4)]
    figures = train(tmp_path, small(warmup=2), log, reward, kinds=["helpful", "harmful"] * 2, facts=facts)
    assert [set(row) for row in log.rows] == [LOGGED] * 3
    assert all(type(value) in (int, float) for row in log.rows for value in row.values())
    assert [sample.kind for sample in reward.seen[0]] == ["helpful", "helpful", "harmful", "harmful"] * 2
    assert [sample.facts["answer"] for sample in reward.seen[2]] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert log.of("learning_rate") == pytest.approx([0.001, 0.0055, 0.01])
    assert figures["steps"] == 3 and figures["resumed_from"] is None and 0 < figures["generating_share"] < 1
    assert (
        figures["tokens"] == sum(sample.tokens for step in reward.seen for sample in step) == log.rows[-1]["num_tokens"]
    )
    assert (figures["reward"], figures["kl"]) == (log.rows[-1]["reward"], log.rows[-1]["kl"])
    log_ratio = log.rows[0]["kl"], log.rows[0]["approximate_kl"]
    assert log_ratio == pytest.approx((0.0, 0.0), abs=1e-6)


def test_writing_reading_scoring_and_learning_have_clocks_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that only these four move, by 1, 2, 4 and 8 s a step."""
    now = [0.0]

    def lasting(seconds: float, work: Any) -> Any:
        def done(*given: Any) -> Any:
            now[0] += seconds
            return work(*given)

        return done

    monkeypatch.setattr("cai.trainers.ppo_state.time.perf_counter", lambda: now[0])
    for seconds, name in ((1, "write"), (2, "read"), (8, "lesson")):
        monkeypatch.setattr(f"cai.trainers.ppo.{name}", lasting(seconds, getattr(ppo, name)))
    log = Log()
    figures = train(tmp_path, small(steps=2), log, lasting(4, By(letters)))
    parts = ("generating", "reading", "scoring", "training")
    assert [log.of(f"seconds_{part}") for part in parts] == [[1, 1], [2, 2], [4, 4], [8, 8]]
    assert figures["generating_share"] == pytest.approx(1 / 15)


def curve(log: Log) -> dict[int, dict[str, float]]:
    return {row["step"]: {k: v for k, v in row.items() if not k.startswith("seconds")} for row in log.rows}


RESUMED = {
    "all": small(steps=4, ema=0.9, kl_target=3.0, epochs=2, minibatch=4, ptx={"texts": "-", "weight": 1.0}, warmup=3),
    "adapter": small(steps=4, adapter={"rank": 2, "dropout": 0.5}, critic="head", gradient_checkpointing=True),
    "often": small(steps=4, save_every=1, whiten="tokens", entropy=0.01, unfinished=1.0),
}


@pytest.mark.parametrize("config", RESUMED.values(), ids=list(RESUMED))
def test_interrupted_and_resumed_is_the_unbroken_training(tmp_path: Path, config: PpoConfig) -> None:
    whole, first, second = Log(), Stop(after=2), Log()
    train(tmp_path / "whole", config, whole, pretraining=TEXTS)
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", config, first, pretraining=TEXTS)
    kept = list((tmp_path / "parts" / "checkpoints").iterdir())
    assert [path.name for path in kept] == ["checkpoint-2"]
    told = train(tmp_path / "parts", config, second, pretraining=TEXTS)
    assert told["resumed_from"] == "checkpoint-2"
    assert set(curve(first)) == {1, 2} and set(curve(second)) == {3, 4}
    assert curve(first) | curve(second) == curve(whole)
    one, other = (model_of(tmp_path / part / "model").state_dict() for part in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_torn_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    assert train(tmp_path, small(steps=1))["resumed_from"] is None


def test_micro_batches_and_the_padding_they_bring_change_no_figure(tmp_path: Path) -> None:
    logs = Log(), Log()
    for log, micro in zip(logs, (1, 8), strict=True):
        config = small(micro_batch=micro, entropy=0.01, ptx={"texts": "-", "weight": 1.0}, max_tokens=12)
        train(tmp_path / str(micro), config, log, reward=Letters(), pretraining=TEXTS)
    for one, other in zip(curve(logs[0]).values(), curve(logs[1]).values(), strict=True):
        assert one == pytest.approx(other, rel=2e-3, abs=2e-4)


def test_with_an_adapter_no_second_model_is_held_and_the_reference_stays_the_start(tmp_path: Path) -> None:
    config = small(adapter={"rank": 2}, learning_rate=0.1)
    model, reference = load("tiny-random", None, config, CPU)
    whole, copied = load("tiny-random", None, small(), CPU)
    assert reference.copy is None and copied.copy is not None
    before = rolled(config, model, reference)
    torch.testing.assert_close(before.log_probs, before.reference)
    with torch.no_grad():
        for name, weight in model.policy.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.5)
    after = read(model, reference, before.written, 1.0, 4)
    torch.testing.assert_close(after.reference, read(whole, copied, before.written, 1.0, 4).reference)
    assert (after.log_probs - after.reference).abs().max() > 0.01
    assert {name for name, weight in model.policy.named_parameters() if weight.requires_grad} == {
        name for name, _ in model.policy.named_parameters() if "lora_" in name
    }


def test_an_adapter_is_trained_and_the_model_that_is_left_is_plain(tmp_path: Path) -> None:
    config = small(adapter={"rank": 2}, critic="head", learning_rate=0.05)
    figures = train(tmp_path, config)
    assert (tmp_path / "adapter" / "adapter_config.json").is_file()
    assert figures["trainable_parameters"] < 5000
    start, left = model_of(Path(resolve("tiny-random"))).state_dict(), model_of(tmp_path / "model").state_dict()
    assert start.keys() == left.keys()
    assert any(not torch.equal(start[name], left[name]) for name in start)
    assert torch.equal(start["model.embed_tokens.weight"], left["model.embed_tokens.weight"])


def test_layers_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rl\.adapter\.targets \['none'\]"):
        train(tmp_path, small(adapter={"targets": ["none"]}))


def test_the_running_mean_of_weights_is_what_is_saved(tmp_path: Path) -> None:
    train(tmp_path / "plain", small(steps=1))
    train(tmp_path / "mean", small(steps=1, ema=0.75))
    start = model_of(Path(resolve("tiny-random"))).state_dict()
    plain, mean = (model_of(tmp_path / name / "model").state_dict() for name in ("plain", "mean"))
    for name in start:
        torch.testing.assert_close(mean[name], 0.75 * start[name] + 0.25 * plain[name])


def test_a_running_mean_against_a_loop() -> None:
    weight, expected = torch.tensor([1.0]), 1.0
    mean = Ema([("w", weight)], 0.9)
    for value in (2.0, -1.0, 4.0):
        weight.fill_(value)
        mean.update()
        expected = 0.9 * expected + 0.1 * value
    other = Ema([("w", weight)], 0.9)
    other.load_state_dict(mean.state_dict())
    other.put()
    assert float(weight) == pytest.approx(expected)


def test_the_gradient_of_pretraining_texts_is_that_of_their_mean_token_loss() -> None:
    config = small(ptx={"texts": "-", "weight": 3.0, "ratio": 2.0, "max_length": 20}, micro_batch=1)
    assert config.ptx
    model, _ = load("tiny-random", None, config, CPU)
    texts = Texts(tokenizer(), TEXTS, config.ptx, 0)
    loss = learner(config, model, texts)._mix_in(texts, 3, (1, 0, 0))
    found = {name: weight.grad.clone() for name, weight in model.policy.named_parameters() if weight.grad is not None}
    tokens, seen = texts.drawn(6, 1, 0, 0)
    assert tokens.shape == seen.shape == (6, 20)
    labels = tokens.masked_fill(seen == 0, -100)
    plain: Any = model_of(Path(resolve("tiny-random")))
    logits = plain(input_ids=tokens, attention_mask=seen).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())
    (3.0 * expected).backward()
    assert loss == pytest.approx(expected.item(), abs=1e-5)
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(found[name], weight.grad, rtol=1e-3, atol=1e-5)


def test_pretraining_texts_are_learned_beside_the_reward(tmp_path: Path) -> None:
    log = Log()
    train(tmp_path, small(steps=12, ptx={"texts": "-", "weight": 1.0}), log, pretraining=TEXTS)
    assert log.of("ptx_loss")[-1] < log.of("ptx_loss")[0] - 1


def test_ppo_ptx_without_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rl\.ptx\.texts: none of 1 texts has two tokens"):
        train(tmp_path, small(ptx={"texts": "-"}), pretraining=[""])


def test_without_prompts_there_is_nothing_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prompts"):
        train_ppo([], "tiny-random", By(letters), tmp_path, small(), 0, Log())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("num_processes", 3, r"rl\.minibatch 8 cannot be shared by 3 processes"),
        ("distributed_type", DistributedType.FSDP, "these are sharded; launch it without sharding"),
    ],
)
def test_processes_that_cannot_share_a_step_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, message: str
) -> None:
    monkeypatch.setattr(Accelerator, name, property(lambda self: value))
    with pytest.raises(InputError, match=message):
        train(tmp_path, small())


def test_prompts_are_gone_through_in_order_and_again() -> None:
    asked = tasks_of(prompts("bad", 3), (), ())
    config = small(prompts_per_step=2, samples=2)
    assert of_step(asked, 1, config) == [asked[0], asked[0], asked[1], asked[1]]
    assert of_step(asked, 2, config) == [asked[2], asked[2], asked[0], asked[0]]


def test_a_lesson_is_made_of_scores_kl_and_values(tmp_path: Path) -> None:
    config = small(discount=1.0, gae=1.0, whiten_advantages=False, unfinished=2.0)
    model, reference = load("tiny-random", classifier(tmp_path / "judge"), config, CPU)
    with torch.no_grad():
        model.policy.get_input_embeddings().weight.mul_(1.5)
    rollout = rolled(config, model, reference)
    scores = [float(number) for number in range(8)]
    taught = lesson(rollout, scores, 0.5, config)
    for row, sample in enumerate(rollout.written.samples):
        n = sample.tokens
        kl = (rollout.log_probs - rollout.reference)[row, :n]
        total = scores[row] - (0 if sample.finished else 2) - 0.5 * float(kl.sum())
        assert float(taught.returns[row, 0]) == pytest.approx(total, abs=1e-4)
        first = total - float(rollout.values[row, 0])
        assert float(taught.advantages[row, 0]) == pytest.approx(first, abs=1e-4)
    told = described(taught)
    assert told["kl_answer"] == pytest.approx(told["kl"] * told["answer_length"], rel=1e-4)
    shifted = lesson(
        rollout, [score * 3 + 100 for score in scores], 0.5, config.model_copy(update={"whiten": "scores"})
    )
    again = lesson(rollout, scores, 0.5, config.model_copy(update={"whiten": "scores", "unfinished": 2 / 3}))
    torch.testing.assert_close(shifted.returns, again.returns, rtol=1e-3, atol=1e-3)


def test_the_preference_model_is_reward_and_critic_at_once(tmp_path: Path) -> None:
    judge = classifier(tmp_path / "judge")
    log, reward = Log(), PreferenceReward(judge)
    train(tmp_path / "run", small(steps=2), log, reward, critic_start=judge)
    reward.close()
    assert log.of("reward") == log.of("reward/preference")
    assert all(torch.isfinite(torch.tensor(log.of("value_loss"))))


SHARED = {
    "steps": 2,
    "minibatch": 4,
    "epochs": 2,
    "kl_target": 3.0,
    "whiten": "tokens",
    "unfinished": 1.0,
    "entropy": 0.01,
}
SHARED |= {"ptx": {"texts": "-", "weight": 1.0}, "save_every": 1, "learning_rate": 1e-3}
PROCESS = f"""
import json, sys
from pathlib import Path
from ppo_data import small
from rl_data import Letters, Log, prompts, ruled
from cai.trainers.ppo import train_ppo
folder, rank = Path(sys.argv[1]), sys.argv[2]
log, reward = Log(), Letters()
config = small(**{SHARED})
told = train_ppo(prompts("bad", 4), "tiny-random", ruled(reward), folder, config, 3, log, pretraining={TEXTS})
shown = [sample.prompt.messages[-1].content for sample in reward.seen[0]]
(folder / f"{{rank}}.json").write_text(json.dumps({{"rows": log.rows, "told": told, "shown": shown}}))
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_and_end_with_one_model(tmp_path: Path) -> None:
    one, other = two_processes(PROCESS, tmp_path)
    assert len(one["rows"]) == 2 and other["rows"] == []
    assert one["shown"] + other["shown"] == [f"bad {number}" for number in (0, 0, 1, 1, 2, 2, 3, 3)]
    assert {name: one["told"][name] for name in ("tokens", "reward", "kl")} == {
        name: other["told"][name] for name in ("tokens", "reward", "kl")
    }
    assert (tmp_path / "model" / "config.json").is_file()
    alone, shared = Log(), Log()
    shared.rows = one["rows"]
    train(tmp_path / "one", small(**SHARED), alone, ruled(Letters()), pretraining=TEXTS)
    for step, row in curve(alone).items():
        assert curve(shared)[step] == pytest.approx(row, rel=1e-3, abs=1e-5), step
        assert row["reward"] == pytest.approx(0, abs=1e-6) and row["reward/llama2/raw"] > 0
