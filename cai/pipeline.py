"""Runs a plan: each stage that is not done yet, from what its parents left."""

from __future__ import annotations

import asyncio
import platform
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from cai import __version__
from cai.energy import drawn
from cai.engines.pool import Pool
from cai.errors import InputError, Interrupted
from cai.job import Job
from cai.launch import launched, run_launched
from cai.material import Material
from cai.plan import Step, plan
from cai.progress import Reporter
from cai.runners import RUNNERS
from cai.store import RunFolder


def run(
    material: Material, folder: RunFolder, reporter: Reporter, until: str | None = None, joining: bool = False
) -> dict[str, Step]:
    """Runs every stage up to `until` that is not done. Returns the steps.

    `joining`: the run is done, and run.json names what joins it only once that is done too: what can't be asked, or is
    cut off, takes nothing away from the run. Raises Interrupted on Ctrl-C, with everything finished so far stored, and
    InputError where the recipe has no stage `until`.
    """
    material.load()
    with folder.locked(), Pool(reporter.loading) as pool:
        steps = plan(material, folder)
        if until is not None and until not in steps:
            raise InputError(
                f"this recipe has no stage {until!r}, only {', '.join(steps)}; give it settings for that one"
            )
        if not joining:
            _remember(material, folder, steps)
        for stage, step in steps.items():
            if step.folder.done:
                step.folder.tidy()
                reporter.console.print(f"{stage}: done before ({step.folder.path})", highlight=False, markup=False)
            else:
                _run_step(Job(step, steps, material, reporter, pool))
                if not joining:
                    _remember(material, folder, steps)
            if stage == until:
                break
        if joining:
            _remember(material, folder, steps)
    return steps


def _remember(material: Material, folder: RunFolder, steps: dict[str, Step]) -> None:
    folder.remember(material.recipe.model_dump(), {stage: step.folder for stage, step in steps.items()})


def _run_step(job: Job) -> None:
    job.folder.begin(_spec(job))
    job.folder.log(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} begun by cai {__version__}")
    started, before = time.monotonic(), drawn()
    try:
        summary = run_launched(job) if launched(job) else RUNNERS[job.step.stage](job)
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise Interrupted(f"stopped in {job.step.stage}; run the same command again to go on") from None
    finally:
        job.folder.close()
    took = {"seconds": round(time.monotonic() - started, 3), **_energy(before, drawn())}
    job.folder.finish({**took, **summary})


def _energy(before: float | None, after: float | None) -> dict[str, int]:
    """Nothing where no counter was read, or where it began anew."""
    return {} if before is None or after is None or after < before else {"gpu_joules": round(after - before)}


def _spec(job: Job) -> dict[str, Any]:
    """What spec.json says: all that a reader needs to know what made these records, and with what."""
    packages = ("torch", "transformers", "trl", "datasets", "accelerate")
    return {
        "stage": job.step.stage,
        "digest": job.step.digest,
        "identity": job.step.identity,
        "parents": {parent: job.steps[parent].digest for parent in job.step.parents},
        "recipe": job.material.recipe.model_dump(),
        "versions": {"cai": __version__, "python": platform.python_version(), **_versions(packages)},
        "git": _git_revision(),
        "seed": job.seed,
    }


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git_revision() -> str | None:
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
