"""What the judge was shown, in its very words, rendered from what the run's recipe names today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cai.config import stored_recipe
from cai.constitution import Principle
from cai.errors import CaiError
from cai.material import Material
from cai.records import Comparison, Record
from cai.shown import STAGES, Question, principles, questions, same
from cai.view.library import Run


@dataclass(frozen=True)
class Told:
    """What was put to the judge. `note`: why the prompts can't be shown, or may not be what they were."""

    questions: tuple[Question, ...] = ()
    principles: Mapping[str, Principle] | None = None
    note: str = ""


class Asked:
    """Renders the judge's prompts; what a recipe names is read once for each run."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[float, Material]] = {}

    def of(self, run: Run, stage: str, record: Record) -> Told | None:
        """What was asked about one record; None where its stage asks no judge."""
        if not isinstance(record, STAGES.get(stage, ())):
            return None
        try:
            material = self._material(run)
            found, rules = questions(material, stage, record), principles(material, stage)
            identity = run.step(stage).spec.get("identity", {})
            return Told(found, rules, "" if same(material, stage, identity) else _CHANGED)
        except CaiError as error:
            return Told(_unshown(record), {}, f"The prompts can't be rendered: {error}")

    def principles(self, run: Run) -> Mapping[str, Principle]:
        """The principles of the run's constitution by id; none where it can't be read."""
        try:
            return principles(self._material(run), "compare")
        except CaiError:
            return {}

    def _material(self, run: Run) -> Material:
        changed = (run.folder.path / "run.json").stat().st_mtime
        known = self._known.get(run.name)
        if known is None or known[0] != changed:
            made = Material(stored_recipe(run.folder.recipe, run.name), runs=self._root)
            known = self._known[run.name] = (changed, made)
        return known[1]


_CHANGED = (
    "The constitution, the templates or the worked examples have changed since: the prompts below are rendered from "
    "what they are now."
)


def _unshown(record: Record) -> tuple[Question, ...]:
    """The readings of a comparison without their prompts."""
    found = record.verdict.readings if isinstance(record, Comparison) else ()
    return tuple(Question("", (), one.logprobs, one) for one in found)
