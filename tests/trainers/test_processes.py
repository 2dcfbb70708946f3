"""What processes that share a training see of each other's answers."""

import json
import os
import socket
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from cai.trainers.processes import over_all

PROCESS = """
import json, sys
from pathlib import Path
from rl_data import Letters, Log, ruled, tasks
from cai.rl_config import RlooConfig
from cai.trainers.rl import train_rl
folder, rank = Path(sys.argv[1]), sys.argv[2]
log, told, reward = Log(), [], ruled(Letters())
def kept(samples):
    told.append(reward(samples))
    return told[-1]
settings = {"steps": 2, "prompts_per_step": 2, "samples": 4, "micro_batch": 4, "max_tokens": 6, "helpful_share": 0.0}
train_rl(tasks("harmful", 4), [], "tiny-random", kept, folder / "run", RlooConfig(**settings), 3, log)
rows = [{"total": one.total, "raw": one.parts["llama2/raw"], "distinct": one.parts["answers/distinct"]} for one in told]
(folder / f"{rank}.json").write_text(json.dumps({"steps": rows, "logged": log.of("reward/llama2/raw")}))
"""


def test_a_process_by_itself_is_shown_its_own_rows() -> None:
    assert over_all([3, 1, 2], sorted) == [1, 2, 3]
    assert over_all([], list) == []


@pytest.mark.slow
def test_rloo_s_rewards_are_whitened_over_the_answers_of_both_processes(tmp_path: Path) -> None:
    """The answers of each half differ in their mean, which whitening each by itself would have lost."""
    here = Path(__file__).parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    known = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
    known["PYTHONPATH"] = f"{here}:{here.parents[1]}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(rank)],
            env={**os.environ, **known, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=280) for process in started] == [0, 0]
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    for step, (left, right) in enumerate(zip(one["steps"], other["steps"], strict=True)):
        raw, total = ([*left[name], *right[name]] for name in ("raw", "total"))
        assert len(left["raw"]) == len(right["raw"]) == 4 and statistics.fmean(left["raw"]) != statistics.fmean(
            right["raw"]
        )
        mean, spread = statistics.fmean(raw), statistics.pstdev(raw)
        assert total == pytest.approx([(value - mean) / spread for value in raw])
        assert len({*left["distinct"], *right["distinct"]}) == 1
        assert one["logged"][step] == pytest.approx(mean, abs=1e-6)
