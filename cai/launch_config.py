"""The settings of trainings in several processes: how many, and how these share a model."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from cai.identity import Config, knob


class LaunchConfig(Config):
    """In how many processes of this machine a training runs. A batch has the same rows, whatever their number."""

    processes: int = knob(1, "Processes of this machine; one a GPU, where it has any.", ge=1)
    strategy: Literal["ddp", "fsdp", "deepspeed"] = knob(
        "ddp",
        "`ddp`: each holds the whole model. `fsdp`, `deepspeed` (a package of its own): weights, gradients and "
        "optimizer are cut among GPUs. PPO writes answers with whole weights and takes `ddp` alone.",
    )
    config: str | None = knob(
        None, "A file of `accelerate config` for this machine; none: cai/accelerate/<strategy>.yaml, which ships."
    )

    gpu_gb: float | None = knob(
        None,
        "Memory of one GPU, GB, that the recipe is cut for: `cai plan` holds what its stages take against it. None: "
        "against nothing.",
        gt=0,
    )

    @model_validator(mode="after")
    def _several(self) -> LaunchConfig:
        if self.strategy != "ddp" and self.processes == 1:
            raise ValueError(
                f"strategy {self.strategy} cuts a model among processes; expected `processes` of 2 or more"
            )
        return self
