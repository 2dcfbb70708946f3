"""That TRL trains on what is exported: its own preparation and a step of each trainer, those of the docs included."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from export_data import answer, comparison, prompt, revision, stored
from trl.data_utils import is_conversational
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from cai.export.folder import export_to
from cai.export.source import open_source
from cai.weights import resolve

datasets.disable_progress_bars()

DOCS = Path(__file__).resolve().parents[2] / "docs" / "export.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCS.read_text("utf-8"), flags=re.M | re.S)
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    asked = [prompt(f"Question {place}?", system="Be brief." if place % 2 else "") for place in range(6)]
    found = {
        "respond": [answer(prompt(f"Request {place}.", "helpful"), f"Help {place}.") for place in range(3)],
        "revise": [revision(one, round_) for one in asked for round_ in range(3)],
        "compare": [comparison(one, place - 2.0) for place, one in enumerate(asked)],
    }
    export_to(open_source(stored(root / "runs", found)), root / "out")
    return root / "out"


def load(folder: Path, table: str, split: str = "train") -> Any:
    return datasets.load_dataset(str(folder), table, split=split, cache_dir=str(folder.parent / "cache"))


def settings(folder: Path) -> dict[str, Any]:
    shown = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
    batch = {"per_device_train_batch_size": 2, "max_steps": 1, "learning_rate": 1e-2}
    return {**shown, **batch, "output_dir": str(folder), "use_cpu": True, "bf16": False, "dataloader_pin_memory": False}


@pytest.mark.parametrize("table", ["sl", "preferences", "prompts"])
def test_trl_takes_the_rows_for_conversations(folder: Path, table: str) -> None:
    assert all(is_conversational(row) for row in load(folder, table))


def trained(trainer: Any) -> int:
    """How many weights one optimizer step changed."""
    before = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    return sum(not torch.equal(weight, before[name]) for name, weight in trainer.model.named_parameters())


@pytest.mark.slow
def test_sft_takes_whole_conversations(folder: Path, tmp_path: Path) -> None:
    rows = load(folder, "sl").filter(lambda row: row["used"])
    trainer: Any = SFTTrainer(resolve("tiny-random"), args=SFTConfig(**settings(tmp_path)), train_dataset=rows)
    text = trainer.processing_class.decode(trainer.train_dataset[0]["input_ids"])
    assert text.count("<|im_start|>") == 2 and "Question 0?" in text and "Round 1." in text
    assert len(trainer.train_dataset) == 15 and trained(trainer) > 0


@pytest.mark.slow
def test_a_reward_model_takes_the_pairs(folder: Path, tmp_path: Path) -> None:
    rows = load(folder, "preferences")
    trainer: Any = RewardTrainer(resolve("tiny-random"), args=RewardConfig(**settings(tmp_path)), train_dataset=rows)
    decode = trainer.processing_class.decode
    first, last = trainer.train_dataset[0], trainer.train_dataset[5]
    assert "Answer b." in decode(first["chosen_ids"]) and "Answer a." in decode(first["rejected_ids"])
    assert "Answer a." in decode(last["chosen_ids"]) and "Be brief." in decode(last["chosen_ids"])
    assert trained(trainer) > 0


@pytest.mark.slow
def test_dpo_takes_the_pairs(folder: Path, tmp_path: Path) -> None:
    rows = load(folder, "preferences")
    trainer: Any = DPOTrainer(resolve("tiny-random"), args=DPOConfig(**settings(tmp_path)), train_dataset=rows)
    decode = trainer.processing_class.decode
    first = trainer.train_dataset[0]
    assert "Question 0?" in decode(first["prompt_ids"]) and "Answer b." in decode(first["chosen_ids"])
    assert trained(trainer) > 0


def test_the_docs_show_three_trainers() -> None:
    assert [re.findall(r"\w+Trainer\(", block) for block in BLOCKS] == [
        ["SFTTrainer("],
        ["RewardTrainer("],
        ["DPOTrainer("],
    ]
    assert all(MODEL in block and '"FOLDER"' in block for block in BLOCKS)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=["sft", "reward", "dpo"])
def test_the_docs_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str) -> None:
    """As they stand, but for the folder, the model, and settings that keep it to one small step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", folder.parent / "cache")
    code = block.replace('"FOLDER"', repr(str(folder))).replace(f'"{MODEL}"', repr(resolve("tiny-random")))
    code = re.sub(r'Config\("([\w-]+)"\)', r'Config(**settings(Path("\1")))', code)
    ran: dict[str, Any] = {"settings": settings, "Path": Path}
    exec(re.sub(r"^(\w+Trainer\(.*\))\.train\(\)$", r"trainer = \1", code, flags=re.M), ran)
    trainer: Any = ran["trainer"]
    if "SFT" in block:  # the loss is on the last turn alone
        row = trainer.train_dataset[0]
        learned = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
        assert trainer.processing_class.decode(learned).strip() == "Round 1.<|im_end|>"
    else:  # the tie is left out
        assert len(trainer.train_dataset) == 5
    assert trained(trainer) > 0
