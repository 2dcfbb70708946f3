"""The tokenizer of a folder of weights, for those who need no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from cai.quiet import hush

hush()


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer that was saved with a model."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
