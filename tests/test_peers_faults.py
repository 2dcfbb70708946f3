"""Faults that other pipelines of this kind have, each shown to be absent here."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import cai.engines.pool
from cai.config import load_recipe
from cai.engines.base import Request
from cai.engines.scripted import ScriptedBackend
from cai.errors import EngineError, ItemFailed
from cai.material import Material
from cai.pipeline import run
from cai.plan import Step
from cai.progress import Reporter
from cai.prompts import Rendered
from cai.questions import load_prompts
from cai.records import Comparison, Completion, Revision
from cai.store import RunFolder


def smoke(root: Path, until: str, *overrides: str) -> dict[str, Step]:
    recipe = load_recipe("smoke", list(overrides))
    return run(Material(recipe), RunFolder(root, recipe.name), Reporter(Console(quiet=True)), until)


def revisions(root: Path, *overrides: str) -> list[Revision]:
    return list(smoke(root, "revise", *overrides)["revise"].folder.records(Revision))


@pytest.mark.parametrize(
    "question",
    ["What are the ingredients: list all", "Human: say: this: whole", "First paragraph.\n\nSecond: paragraph."],
)
def test_a_prompt_is_not_cut_at_a_colon_or_an_empty_line(tmp_path: Path, question: str) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(json.dumps({"prompt": question}) + "\n")
    (prompt,) = load_prompts(str(file), "harmful").prompts
    assert prompt.messages[0].content == question


def test_a_transcript_is_not_cut_at_a_colon(tmp_path: Path) -> None:
    row = {"chosen": "\n\nHuman: Two things: a: b\n\nAssistant: c: d\n\nHuman: And: e\n\nAssistant: f"}
    (tmp_path / "hh.jsonl").write_text(json.dumps(row) + "\n")
    (prompt,) = load_prompts(str(tmp_path / "hh.jsonl"), "harmful").prompts
    assert [message.content for message in prompt.messages] == ["Two things: a: b", "c: d", "And: e"]


def test_draws_are_seeded(tmp_path: Path) -> None:
    drawn = []
    for attempt in range(2):
        random.seed(attempt)  # the global state of Python's draws has no part in it
        drawn.append({one.id: one.principles for one in revisions(tmp_path / str(attempt))})
    assert drawn[0] == drawn[1]
    other = {one.id: one.principles for one in revisions(tmp_path / "other", "seed=1")}
    assert other.keys() == drawn[0].keys() and other != drawn[0]


class Unlucky(ScriptedBackend):
    """Can't write one critique or revision in seven, and says so in words that would look like a reply."""

    calls = 0

    async def generate(self, request: Request) -> Completion:
        type(self).calls += len(request.prompt.messages) > 1
        if len(request.prompt.messages) > 1 and type(self).calls % 7 == 3:
            raise ItemFailed("Error generating critique.")
        return await super().generate(request)


def test_an_error_costs_its_item_alone_and_its_text_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cai.engines.pool, "open_engine", lambda config, model, share=1.0: Unlucky(config))
    with pytest.raises(EngineError, match="of 8 items failed"):
        smoke(tmp_path, "revise")
    (folder,) = tmp_path.glob("smoke/revise-*")
    stored = (folder / "items.jsonl").read_text()
    assert stored and "Error generating" not in stored
    failed = [json.loads(line) for line in (folder / "failures.jsonl").read_text().splitlines()]
    whole = {json.loads(line)["prompt"]["id"] for line in stored.splitlines() if json.loads(line)["round"] == 2}
    assert len(whole) + len(failed) == 8 and len(whole) > 0
    monkeypatch.undo()
    assert len(revisions(tmp_path)) == 8 * 3


@pytest.mark.parametrize("count", [1, 5, 7, 8])
def test_no_last_batch_is_dropped(tmp_path: Path, count: int) -> None:
    found = revisions(tmp_path, f"prompts.limit={count}", "engine.concurrency=4")
    assert len({one.prompt.id for one in found}) == count and len(found) == 3 * count


class Undecided(ScriptedBackend):
    """A judge that has no log-probability for its labels."""

    async def score(self, prompt: Rendered, labels: Sequence[str]) -> list[float]:
        return [-float("inf")] * len(labels)


def test_a_verdict_that_cannot_be_read_is_no_tie_and_not_the_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def undecided(config: Any, model: Any, share: float = 1.0) -> ScriptedBackend:
        return Undecided(config)

    monkeypatch.setattr(cai.engines.pool, "open_engine", undecided)
    steps = smoke(tmp_path, "compare")
    found = list(steps["compare"].folder.records(Comparison))
    assert len(found) == 8
    assert all(one.verdict.state == "unparsed" and one.verdict.p_a is None for one in found)
