"""Where data stages run: the executors that a recipe can name, and their settings. None of them changes a record."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from cai.identity import Config, knob

Count = Annotated[int, Field(ge=1)]


class LocalExecutor(Config):
    """In this process: one copy of each model that a stage asks."""

    type: Literal["local"] = knob("local", "Which executor.")


class RayExecutor(Config):
    """On Ray: replicas that each hold the models of a stage and walk whole chains, on one machine or many."""

    type: Literal["ray"] = knob("ray", "Which executor.")
    concurrency: Count | tuple[Count, Count] = knob(
        1, "Replicas: a number, or [fewest, most], between which their number follows the work and the cluster."
    )
    cpus: float = knob(1.0, "CPU cores that a replica reserves.", ge=0)
    gpus: float | None = knob(
        None,
        "GPUs that a replica reserves; none: those that its engine needs where the cluster has any, else 0. Part of "
        "one, such as 0.5, lets replicas share it.",
        ge=0,
    )
    address: str | None = knob(
        None,
        "A cluster to join, such as auto or 10.0.0.1:6379; none: that of RAY_ADDRESS, or else a Ray that is started "
        "here and ends with the command.",
    )
    shards: str | None = knob(
        None,
        "Where replicas put what they finish until it is in the run: a folder that all machines see, or s3://bucket/"
        "prefix; none: the stage's own folder.",
    )
    object_store_gb: float | None = knob(
        None, "Memory of the object store of a Ray that is started here, GB; none: as Ray chooses.", ge=0.08
    )

    @field_validator("concurrency")
    @classmethod
    def _ordered(cls, concurrency: int | tuple[int, int]) -> int | tuple[int, int]:
        if isinstance(concurrency, tuple) and concurrency[0] > concurrency[1]:
            raise ValueError(f"expected [fewest, most], and {concurrency[0]} is more than {concurrency[1]}")
        return concurrency

    @property
    def replicas(self) -> tuple[int, int]:
        """The fewest and the most."""
        return self.concurrency if isinstance(self.concurrency, tuple) else (self.concurrency, self.concurrency)

    def said(self) -> str:
        """For people, such as `Ray, 2 to 8 replicas of 1 CPU core each`."""
        fewest, most = self.replicas
        count = f"{fewest} to {most} replicas" if fewest < most else f"{most} replica{'s' * (most > 1)}"
        gpus = "the GPUs that the engine needs" if self.gpus is None else f"{self.gpus:g} GPU{'s' * (self.gpus != 1)}"
        return f"Ray, {count} of {self.cpus:g} CPU core{'s' * (self.cpus != 1)} and {gpus} each"


ExecutorConfig = Annotated[LocalExecutor | RayExecutor, Field(discriminator="type")]
