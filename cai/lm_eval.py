"""The command line that runs tasks of EleutherAI's lm-evaluation-harness on a model; it is no dependency of ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cai.errors import EngineError, InputError
from cai.models import ModelConfig

PROGRAM = "lm_eval"
"""Both the old command line and the one with subcommands (from 2025-12) take these options."""


def command(model: ModelConfig, tasks: str, to: Path, dtype: str = "auto") -> list[str]:
    """What to run: the model as transformers opens it, in its chat template unless it speaks in transcripts."""
    arguments = [f"pretrained={model.model}", f"dtype={dtype}"]
    arguments += [f"peft={model.adapter}"] if model.adapter else []
    told = [PROGRAM, "--model", "hf", "--model_args", ",".join(arguments), "--tasks", tasks]
    told += ["--batch_size", "auto", "--output_path", str(to)]
    return [*told, "--apply_chat_template"] if model.dialect == "chat" else told


def run(line: list[str]) -> None:
    """Runs it. Raises InputError where the harness is not installed, EngineError where it fails."""
    if shutil.which(PROGRAM) is None:
        raise InputError(
            f"{PROGRAM} is not installed, so the tasks can't be run; do this: pip install 'lm_eval[hf]', in this "
            "environment or another one, and run the line above there"
        )
    ended = subprocess.run(line, check=False).returncode
    if ended:
        raise EngineError(f"{PROGRAM} ended with exit code {ended}; what it said stands above")
