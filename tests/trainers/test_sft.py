"""The loss is on the tokens asked for; rows too long are counted; a resumed run equals an unbroken one."""

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sft_data import Log, rows, uneven
from transformers import AutoModelForCausalLM, AutoTokenizer

from cai.encoding import answered, earlier_answers
from cai.errors import EngineError, InputError, Interrupted
from cai.prompts import Rendered, Templates
from cai.records import Message
from cai.store import StepFolder
from cai.train_config import AdapterConfig, SftConfig
from cai.trainers.common import latest_checkpoint, optimisation
from cai.trainers.sft import Row, learned, train_sft
from cai.weights import resolve

CONFIG = SftConfig(batch_size=2, micro_batch=2, learning_rate=1e-3, save_every=2)
LOSSES = ("answer", "assistant", "all")


@cache
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(resolve("tiny-random"))


templates = cache(Templates)


def talk(dialect: str, said: list[str]) -> Row:
    """A conversation in which user and assistant take turns; the last thing said is the answer to learn."""
    roles = ["user", "assistant"] * len(said)
    messages = tuple(
        Message.model_validate({"role": role, "content": text}) for role, text in zip(roles, said[:-1], strict=False)
    )
    return templates(dialect).render("respond", messages=messages), said[-1]


def chat_twin(pieces: list[str]) -> list[list[bool]]:
    """Every answer of a chat, each as a mask: what follows `<|im_start|>assistant\\n`, to `<|im_end|>`."""
    answers, role, speaking = [], None, False
    for number, piece in enumerate(pieces):
        if speaking:
            answers[-1][number] = True
        if piece == "<|im_start|>":
            role, speaking = "", False
        elif piece == "<|im_end|>":
            speaking = False
        elif role is not None and piece == "\n":
            speaking, role = role == "assistant", None
            answers += [[False] * len(pieces)] if speaking else []
        elif role is not None:
            role += piece
    return answers


def transcript_twin(pieces: list[str]) -> list[list[bool]]:
    """Every answer of a transcript: one letter is one token, and the end-of-text token closes the last."""
    text, answers, speaking = "".join(pieces[:-1]), [], False
    for number in range(len(pieces)):
        if text[:number].endswith("\n\nAssistant:"):
            answers.append([False] * len(pieces))
            speaking = True
        if text[number:].startswith(("\n\nHuman:", "\n\nAssistant:")):
            speaking = False
        if speaking:
            answers[-1][number] = True
    return answers


TWINS = {"chat": chat_twin, "transcript": transcript_twin}
words = st.text("abc .\n:", min_size=1, max_size=12).map(str.strip).filter(bool)


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
@settings(max_examples=40)
@given(st.lists(st.tuples(words, words), min_size=1, max_size=4))
def test_the_mask_equals_a_plain_twin_token_by_token(dialect: str, turns: list[tuple[str, str]]) -> None:
    row = talk(dialect, [text for turn in turns for text in turn])
    masks = {loss: learned(tokenizer(), row, loss)[1] for loss in LOSSES}
    ids = learned(tokenizer(), row, "all")[0]
    answers = TWINS[dialect]([tokenizer().decode([token]) for token in ids])
    assert len(answers) == len(turns)
    assert masks["answer"] == answers[-1]
    assert masks["assistant"] == [any(column) for column in zip(*answers, strict=True)]
    assert masks["all"] == [False] + [True] * (len(ids) - 1)


def spoken(tokenizer: Any, row: Row, loss: str) -> str:
    ids, mask = learned(tokenizer, row, loss)
    return tokenizer.decode([token for token, on in zip(ids, mask, strict=True) if on])


@pytest.mark.real_model
@pytest.mark.parametrize("said", [["Hi", "Héllo — 你好.", "And?", "No more!"], ["A\n\nB", "C\n\nD", "E", "F"]])
def test_what_is_learned_by_tokens_of_many_letters(said: list[str]) -> None:
    real: Any = AutoTokenizer.from_pretrained(resolve("smollm2-135m"))
    chat, transcript = talk("chat", said), talk("transcript", said)
    assert spoken(real, chat, "answer") == f"{said[-1]}<|im_end|>"
    assert spoken(real, chat, "assistant") == f"{said[1]}<|im_end|>{said[-1]}<|im_end|>"
    assert spoken(real, transcript, "answer") == f" {said[-1]}<|im_end|>"
    assert spoken(real, transcript, "assistant") == f" {said[1]} {said[-1]}<|im_end|>"


def templated(template: str) -> Any:
    changed: Any = AutoTokenizer.from_pretrained(resolve("tiny-random"))
    changed.chat_template = template
    return changed


TURNS = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}/{% endfor %}"
OPENED = "{% if add_generation_prompt %}[assistant]{% endif %}"
LAST_ONLY = "{% for m in messages %}[{{ m['role'] }}]{% if loop.last %}!{% endif %}{{ m['content'] }}/{% endfor %}"


def test_a_turn_that_no_token_ends_is_learned_to_its_last() -> None:
    row = talk("chat", ["Hi", "Yes", "And", "No"])
    assert spoken(templated(TURNS + OPENED), row, "assistant") == "Yes/No/<|im_end|>"


def test_a_template_that_rewrites_earlier_turns_is_told() -> None:
    row = talk("chat", ["Hi", "Yes", "And", "No"])
    with pytest.raises(EngineError, match="changes a turn once others follow"):
        earlier_answers(templated(LAST_ONLY + OPENED), row[0])


def test_a_transcript_whose_turns_cannot_be_told_is_an_error() -> None:
    with pytest.raises(InputError, match="Me: '; expected what opens a turn"):
        earlier_answers(tokenizer(), Rendered(text="You: Hi\n\nMe: ", stop=("\n\nYou:",)))


def plain_losses(given_rows: list[Row], loss: str = "answer", start: str = "tiny-random") -> list[float]:
    """-log p of each learned token, each row run alone."""
    model: Any = AutoModelForCausalLM.from_pretrained(resolve(start), dtype=torch.float32)
    losses = []
    for row in given_rows:
        ids, mask = learned(tokenizer(), row, loss)
        with torch.no_grad():
            logp = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-logp[i - 1, ids[i]].item() for i in range(len(ids)) if mask[i]]
    return losses


@pytest.mark.parametrize("dialect", ["chat", "transcript"])
def test_first_loss_is_the_mean_over_answer_tokens(tmp_path: Path, dialect: str) -> None:
    two = rows(dialect, 2)
    log = Log()
    train_sft(two, "tiny-random", tmp_path, CONFIG, 0, log)
    losses = []
    model: Any = AutoModelForCausalLM.from_pretrained(resolve("tiny-random"), dtype=torch.float32)
    for prompt, answer in two:
        ids, given_ = answered(tokenizer(), prompt, answer)
        logp = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-logp[i - 1, ids[i]].item() for i in range(given_, len(ids))]
    assert log.rows[1]["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-3)


@pytest.mark.parametrize("loss", LOSSES)
def test_first_loss_is_the_mean_over_the_tokens_asked_for(tmp_path: Path, loss: str) -> None:
    two = [talk("chat", ["Hi", "Yes?", "And then?", "Nothing more."]), talk("chat", ["So", "What."])]
    config = CONFIG.model_copy(update={"loss": loss})
    summary = train_sft(two, "tiny-random", tmp_path, config, 0, Log())
    losses = plain_losses(two, loss)
    assert summary["loss_tokens"] == len(losses)
    assert summary["loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


def test_rows_too_long_are_counted_and_none_left_is_an_error(tmp_path: Path) -> None:
    config = SftConfig(batch_size=2, micro_batch=2, max_length=150)
    long = (rows()[0][0], "x" * 500)
    assert train_sft([*rows(count=2), long], "tiny-random", tmp_path, config, 0, Log())["too_long"] == 1
    with pytest.raises(InputError, match="max_length 150"):
        train_sft([long], "tiny-random", tmp_path / "other", config, 0, Log())


def test_what_is_counted(tmp_path: Path) -> None:
    summary = train_sft(rows(count=2), "tiny-random", tmp_path, CONFIG.model_copy(update={"epochs": 3}), 0, Log())
    encoded = [answered(tokenizer(), *row) for row in rows(count=2)]
    assert summary["tokens"] == 3 * sum(len(ids) for ids, _ in encoded)
    assert summary["loss_tokens"] == 3 * sum(len(ids) - given_ids for ids, given_ids in encoded)
    assert summary["trainable_parameters"] == 26_880 and summary["packed_rows"] is None


LORA = AdapterConfig(rank=4, alpha=8)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lora": {"adapter": LORA},
    "packed": {"packing": True, "max_length": 160},
    "packed lora": {"packing": True, "max_length": 160, "adapter": LORA},
}


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_and_resumed_equals_unbroken(tmp_path: Path, kind: str) -> None:
    config = CONFIG.model_copy(update={**KINDS[kind], "schedule": "cosine", "warmup": 0.2})
    config = config.model_copy(update={"batch_size": 1, "micro_batch": 1} if config.packing else {})
    asked = rows(count=24) if config.packing else rows()
    whole, first, second = Log(), Log(interrupt_at=3), Log()
    train_sft(asked, "tiny-random", tmp_path / "whole", config, 7, whole)
    with pytest.raises(Interrupted):
        train_sft(asked, "tiny-random", tmp_path / "parts", config, 7, first)
    assert not (tmp_path / "parts" / "model").exists()
    summary = train_sft(asked, "tiny-random", tmp_path / "parts", config, 7, second)
    assert summary["resumed_from"] == "checkpoint-3" and summary["steps"] >= 5
    assert set(first.rows) == {1, 2, 3} and min(second.rows) == 4
    assert first.curve | second.curve == pytest.approx(whole.curve, abs=1e-5)
    ours, theirs = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("parts", "whole"))
    assert all(torch.allclose(ours[key], theirs[key], atol=1e-6) for key in theirs)


def test_figures_after_a_resume_are_those_of_all_steps(tmp_path: Path) -> None:
    """TRL counts tokens, and takes the mean of the loss, from where it was taken up again."""
    whole, first, second = Log(), Log(interrupt_at=3), Log()
    told = train_sft(rows(), "tiny-random", tmp_path / "whole", CONFIG, 7, whole)
    with pytest.raises(Interrupted):
        train_sft(rows(), "tiny-random", tmp_path / "parts", CONFIG, 7, first)
    again = train_sft(rows(), "tiny-random", tmp_path / "parts", CONFIG, 7, second)
    assert again["loss"] == pytest.approx(told["loss"], abs=1e-5)
    assert told["loss"] == pytest.approx(sum(whole.curve.values()) / len(whole.curve), abs=1e-6)
    tokens = [{step: row["num_tokens"] for step, row in log.rows.items()} for log in (whole, first, second)]
    assert tokens[1] | tokens[2] == tokens[0]


def test_a_training_that_is_stopped_after_its_last_step_takes_no_step_again(tmp_path: Path) -> None:
    """Between the last step and DONE its checkpoints stay, be the model left already or not."""
    told = train_sft(rows(), "tiny-random", tmp_path, CONFIG, 7, Log())
    left = (tmp_path / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "model")
    log = Log()
    again = train_sft(rows(), "tiny-random", tmp_path, CONFIG, 7, log)
    assert log.rows == {} and again["resumed_from"] == f"checkpoint-{told['steps']}"
    assert {**again, "resumed_from": None} == told
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == left
    StepFolder(tmp_path).finish(told)
    assert not (tmp_path / "checkpoints").exists() and (tmp_path / "DONE").is_file()


def test_what_is_left_of_a_model_is_no_pickle(tmp_path: Path) -> None:
    train_sft(rows(), "tiny-random", tmp_path, CONFIG, 7, Log())
    assert {path.suffix for path in (tmp_path / "model").iterdir()} <= {".safetensors", ".json", ".jinja"}


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_checkpointing_changes_no_figure(tmp_path: Path, kind: str) -> None:
    config = CONFIG.model_copy(update=KINDS[kind])
    curves = []
    for on in (False, True):
        log = Log()
        train_sft(
            uneven(),
            "tiny-random",
            tmp_path / str(on),
            config.model_copy(update={"gradient_checkpointing": on}),
            0,
            log,
        )
        curves.append([(row["loss"], row["grad_norm"]) for row in log.rows.values()])
    assert all(norm > 0 for _, norm in curves[0])
    for plain, checkpointed in zip(*curves, strict=True):
        assert checkpointed == pytest.approx(plain, rel=1e-4, abs=1e-4)


def test_a_torn_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    for step, whole in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "COMPLETE").touch()
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.name == "checkpoint-10"
    assert not (tmp_path / "checkpoint-12").exists()
    assert latest_checkpoint(tmp_path / "nothing") is None


@pytest.mark.parametrize("kind", ["plain", "lora"])
def test_the_saved_model_generates_with_its_cache(tmp_path: Path, kind: str) -> None:
    train_sft(rows(count=2), "tiny-random", tmp_path, CONFIG.model_copy(update=KINDS[kind]), 0, Log())
    saved: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert saved.config.use_cache is True


def rates(folder: Path, **settings: Any) -> list[float]:
    """The learning rate of each of ten steps."""
    log = Log()
    config = CONFIG.model_copy(update={"epochs": 5, "batch_size": 1, "micro_batch": 1, **settings})
    train_sft(rows(count=2), "tiny-random", folder, config, 0, log)
    return [row["learning_rate"] / 1e-3 for row in log.rows.values()]


def test_the_rate_rises_as_long_as_warmup_says(tmp_path: Path) -> None:
    rising = [0.0, 0.25, 0.5, 0.75]
    assert rates(tmp_path / "a", warmup=0.4) == pytest.approx(rising + [1.0] * 6)
    assert rates(tmp_path / "b", warmup=0.4, schedule="linear") == pytest.approx(rising + [1 - i / 6 for i in range(6)])
    assert rates(tmp_path / "c") == pytest.approx([1.0] * 10)


def test_settings_reach_the_optimizer() -> None:
    asked = optimisation(SftConfig(weight_decay=0.1, max_grad_norm=0.5, optimizer="adafactor"))
    assert (asked["weight_decay"], asked["max_grad_norm"], asked["optim"]) == (0.1, 0.5, "adafactor")


def weights(folder: Path) -> torch.Tensor:
    return load_file(folder / "model" / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]


def test_optimizer_decay_and_norm_change_what_is_learned(tmp_path: Path) -> None:
    kinds = {
        "plain": {},
        "decay": {"weight_decay": 100.0},
        "cut": {"max_grad_norm": 1e-9},
        "ada": {"optimizer": "adafactor"},
    }
    for name, changed in kinds.items():
        train_sft(rows(), "tiny-random", tmp_path / name, CONFIG.model_copy(update=changed), 0, Log())
    norms = {name: weights(tmp_path / name) for name in kinds}
    assert norms["decay"].norm() < 0.7 * norms["plain"].norm()
    start = load_file(Path(resolve("tiny-random")) / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert (norms["cut"] - start).norm() < 0.5 * (norms["plain"] - start).norm()
    assert not torch.allclose(norms["ada"], norms["plain"], atol=1e-5)
