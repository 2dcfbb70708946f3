"""Where a stage runs is a knob: it has no part in any address."""

from pathlib import Path

import pytest

from cai.config import load_recipe
from cai.errors import InputError
from cai.executor_config import LocalExecutor, RayExecutor
from cai.identity import identity_of
from cai.material import Material
from cai.plan import plan
from cai.store import RunFolder

RAY = ["executor.type=ray", "executor.concurrency=[2,8]", "executor.gpus=0.5", "executor.shards=s3://bucket/shards"]


def test_the_same_recipe_has_the_same_addresses_with_either_executor(tmp_path: Path) -> None:
    steps = [
        plan(Material(load_recipe("smoke", given), runs=tmp_path), RunFolder(tmp_path, "x")) for given in ([], RAY)
    ]
    local, ray = ({stage: step.digest for stage, step in one.items()} for one in steps)
    assert local == ray
    assert identity_of(load_recipe("smoke", RAY)) == identity_of(load_recipe("smoke"))


def test_it_can_be_given_on_the_command_line() -> None:
    executor = load_recipe("paper", RAY).executor
    assert executor == RayExecutor(concurrency=(2, 8), gpus=0.5, shards="s3://bucket/shards")
    assert isinstance(load_recipe("paper").executor, LocalExecutor)
    assert isinstance(load_recipe("paper", ["executor.type=ray"]).executor, RayExecutor)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("executor.concurrency=[8,2]", "8 is more than 2"),
        ("executor.concurrency=0", "greater than or equal to 1"),
        ("executor.gpus=-1", "greater than or equal to 0"),
        ("executor.object_store_gb=0.01", "0.08"),
    ],
)
def test_mistakes_are_told(given: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_recipe("smoke", ["executor.type=ray", given])


@pytest.mark.parametrize(
    ("executor", "said"),
    [
        (RayExecutor(), "Ray, 1 replica of 1 CPU core and the GPUs that the engine needs each"),
        (RayExecutor(concurrency=(2, 8), gpus=1), "Ray, 2 to 8 replicas of 1 CPU core and 1 GPU each"),
        (RayExecutor(concurrency=3, cpus=2, gpus=0.5), "Ray, 3 replicas of 2 CPU cores and 0.5 GPUs each"),
    ],
)
def test_it_is_said_for_people(executor: RayExecutor, said: str) -> None:
    assert executor.said() == said


@pytest.mark.parametrize(("concurrency", "replicas"), [(3, (3, 3)), ((1, 4), (1, 4))])
def test_a_number_stands_for_both_ends(concurrency: int | tuple[int, int], replicas: tuple[int, int]) -> None:
    assert RayExecutor(concurrency=concurrency).replicas == replicas
