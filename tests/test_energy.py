"""Energy: the difference of the driver's counters, over the GPUs that are visible; unknown where none counts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from cai import pipeline
from cai.config import load_recipe
from cai.energy import drawn
from cai.findings import timing
from cai.material import Material
from cai.progress import Reporter
from cai.stages.report import energy_sentence
from cai.store import RunFolder

COUNTED = {0: 5_000, 1: 70_000, "GPU-b": 70_000}
"""Millijoules, by number or name."""


class Nvml(ModuleType):
    """A driver with two GPUs."""

    class NVMLError(Exception):
        """As NVML's own."""

    def __init__(self, works: bool = True, counts: bool = True) -> None:
        super().__init__("pynvml")
        self._works, self._counts = works, counts
        self.open = 0

    def nvmlInit(self) -> None:
        if not self._works:
            raise self.NVMLError
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        if number not in COUNTED:
            raise self.NVMLError
        return number

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        if name not in COUNTED:
            raise self.NVMLError
        return name

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:
        if not self._counts:
            raise self.NVMLError
        return COUNTED[handle]


@pytest.mark.parametrize(
    ("visible", "joules"),
    [(None, 75.0), ("1", 70.0), ("0, 1", 75.0), ("GPU-b", 70.0), ("", None), ("7", None), ("GPU-none", None)],
)
def test_the_gpus_that_are_visible_are_counted(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, joules: float | None
) -> None:
    driver = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert drawn() == joules
    assert driver.open == 0


@pytest.mark.parametrize(
    "driver", [Nvml(works=False), Nvml(counts=False), None], ids=["no driver", "old", "no library"]
)
def test_what_does_not_count_is_unknown(monkeypatch: pytest.MonkeyPatch, driver: ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    assert drawn() is None


def test_the_real_library_does_not_fail_without_a_gpu() -> None:
    pytest.importorskip("pynvml")
    found = drawn()
    assert found is None or found > 0


@pytest.mark.parametrize(
    ("counters", "told"), [([10.0, 46.4], 36), ([None, None], None), ([10.0, None], None), ([10.0, 2.0], None)]
)
def test_a_stage_tells_what_was_drawn_while_it_ran(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, counters: list[float | None], told: int | None
) -> None:
    counted = iter(counters)
    monkeypatch.setattr(pipeline, "drawn", lambda: next(counted))
    folder, reporter = RunFolder(tmp_path, "smoke"), Reporter(Console(quiet=True))
    steps = pipeline.run(Material(load_recipe("smoke")), folder, reporter, until="respond")
    assert steps["respond"].folder.summary.get("gpu_joules") == told


def test_the_report_tells_watt_hours_and_by_which_stage() -> None:
    stages = {"rl": {"gpu_joules": 7_200}, "sft": {"gpu_joules": 1_800}, "report": {}}
    said = energy_sentence([timing(stage, {"seconds": 1.0, **summary}) for stage, summary in stages.items()])
    assert said.startswith("Energy: 2.50 Wh")
    assert "(rl 2.00, sft 0.50)" in said
    assert "not known" in energy_sentence([timing("report", {"seconds": 1.0})])
