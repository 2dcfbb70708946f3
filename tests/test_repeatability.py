"""The same recipe on the same machine with the engine `transformers` leaves the same records, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cai.checksums import contents
from cai.store import RunFolder

RECIPE = ["smoke", "engine.type=transformers", "engine.batch_size=4", "prompts.limit=12", "--until", "compare"]
"""Several batches a stage, whose make-up would show: a batch of another make-up rounds otherwise."""

STAGES = ("respond", "revise", "compare")


def run(root: Path, hash_seed: str) -> RunFolder:
    """One run in a process of its own, whose sets and dicts of words are in an order of their own."""
    command = [sys.executable, "-m", "cai", "run", *RECIPE, "--runs", str(root)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=900)
    return RunFolder(root, "smoke")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_runs_of_a_recipe_leave_the_same_records_byte_for_byte(tmp_path: Path) -> None:
    """No record tells a time, so nothing is left out; the model that was trained in between is the same, too."""
    one, other = (run(tmp_path / name, seed).steps for name, seed in (("one", "1"), ("other", "2")))
    for stage in STAGES:
        records, again = ((steps[stage].path / "items.jsonl").read_bytes() for steps in (one, other))
        assert records.count(b"\n") == {"respond": 12, "revise": 36, "compare": 12}[stage]
        assert records.splitlines() == again.splitlines(), stage
        assert records == again
    weights, trained = (steps["sft"].path / "model" / "model.safetensors" for steps in (one, other))
    assert contents(weights)["sha256"] == contents(trained)["sha256"]
