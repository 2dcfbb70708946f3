"""What processes that share a training see of each other's answers."""

import statistics
from pathlib import Path

import pytest
from two_processes import two_processes

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
    one, other = two_processes(PROCESS, tmp_path, ACCELERATE_USE_CPU="true")
    for step, (left, right) in enumerate(zip(one["steps"], other["steps"], strict=True)):
        raw, total = ([*left[name], *right[name]] for name in ("raw", "total"))
        assert len(left["raw"]) == len(right["raw"]) == 4 and statistics.fmean(left["raw"]) != statistics.fmean(
            right["raw"]
        )
        mean, spread = statistics.fmean(raw), statistics.pstdev(raw)
        assert total == pytest.approx([(value - mean) / spread for value in raw])
        assert len({*left["distinct"], *right["distinct"]}) == 1
        assert one["logged"][step] == pytest.approx(mean, abs=1e-6)
