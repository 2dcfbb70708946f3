"""cai report: one run or several in one file, finished or not, from what is stored."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from test_pipeline import run_smoke

from cai.cli import app
from cai.errors import InputError, StoreError
from cai.plan import Step

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that is done, one of another seed, and one that is stopped in the middle of its comparisons."""
    root = tmp_path_factory.mktemp("runs")
    run_smoke(root, name="one")
    run_smoke(root, "seed=1", "evaluate.limit=12", name="two")
    _stopped(root, run_smoke(root, "seed=2", name="part"))
    yield root


def _stopped(root: Path, steps: dict[str, Step]) -> None:
    """As if it had been killed while it compared: that stage has a torn line and no DONE, those after it no folder."""
    names = list(steps)
    for stage in names[names.index("compare") + 1 :]:
        shutil.rmtree(steps[stage].folder.path)
    told = json.loads((root / "part" / "run.json").read_text())
    told["done"] = names[: names.index("compare")]
    (root / "part" / "run.json").write_text(json.dumps(told))
    folder = steps["compare"].folder.path
    (folder / "DONE").unlink()
    lines = (folder / "items.jsonl").read_text("utf-8").splitlines(keepends=True)
    (folder / "items.jsonl").write_text("".join(lines[:3]) + lines[3][:30], "utf-8")


def report(*arguments: object) -> Path:
    result = CliRunner().invoke(app, ["report", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return Path(result.output.strip())


def test_the_report_of_a_run_that_is_done_is_the_one_it_made(runs: Path) -> None:
    place = json.loads((runs / "one" / "run.json").read_text())["steps"]["report"]
    before = (runs / place / "report.html").read_bytes()
    assert report("one", "--runs", runs) == runs / place / "report.html"
    assert report("one", "--runs", runs, "--markdown") == runs / place / "report.md"
    assert (runs / place / "report.html").read_bytes() == before


def test_it_is_made_anew_where_a_file_is_named(runs: Path, tmp_path: Path) -> None:
    page = report("one", "--runs", runs, "--to", tmp_path / "new" / "one.html").read_text("utf-8")
    assert 'id="evaluation"' in page and "Not finished" not in page
    assert "<link" not in page and "<script" not in page and "src=" not in page, "it loads nothing"
    text = report("one", "--runs", runs, "--to", tmp_path / "one.md").read_text("utf-8")
    assert text.startswith("# one\n") and "beside this file" not in text


def test_a_run_that_is_not_finished_has_a_report_of_what_there_is(runs: Path) -> None:
    path = report("part", "--runs", runs)
    assert path == runs / "part" / "report.html"
    page = path.read_text("utf-8")
    assert "Not finished: compare, preference_model" in page
    assert 'id="transcripts"' in page
    assert "**Not finished**: compare" in report("part", "--runs", runs, "--markdown").read_text("utf-8")
    verified = CliRunner().invoke(app, ["verify", "part", "--runs", str(runs)])
    assert verified.exit_code == 0, verified.output


class Names(HTMLParser):
    """Every id of a page, and every place that a link in it leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href") and value.startswith("#"):
                self.links.append(value[1:])


def test_several_runs_stand_in_one_file_under_their_names(runs: Path) -> None:
    path = report("one", "two", "part", "one", "--runs", runs)
    assert path == runs / "report.html"
    page, names = path.read_text("utf-8"), Names()
    names.feed(page)
    assert len(set(names.ids)) == len(names.ids), "no id stands twice"
    assert set(names.links) <= set(names.ids), "every link leads somewhere"
    assert page.count("<main>") == page.count("<h1>") == 1 and page.count("Constitutional AI, run report") == 3
    for number, name in enumerate(("one", "two", "part"), 1):
        assert f'id="run-{number}"' in page and f"<h2>{name}</h2>" in page
    assert '[id$="-changed"] .numbers' in page and "\n#changed" not in page
    assert set(re.findall(r"url\(#(\w+?-\d-)", page)) == {"run-1-", "run-2-", "run-3-"}


def test_their_figures_stand_side_by_side(runs: Path, tmp_path: Path) -> None:
    text = report("one", "two", "part", "--runs", runs, "--to", tmp_path / "all.md").read_text("utf-8")
    table = text.split("## one")[0]
    assert "| Prompts | Model | Figure | one | two | part |" in table
    (score,) = re.findall(r"^\| harmful \| RL-CAI \| Preference score \|(.*)\|$", table, flags=re.M)
    ours, theirs, none = (cell.strip() for cell in score.split("|"))
    assert ours in text.split("## one")[1].split("## two")[0] and theirs in text.split("## two")[1] and none == "-"
    assert re.search(r"\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\]", ours)
    assert "compare, preference_model" in table and "part is not finished" in table
    assert "did not ask the same held-out prompts" in table and "Wins against base" not in table
    assert "Win rates are left out" in table and "its own preference model" in table


def test_win_rates_stand_there_where_the_same_was_asked(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "one", tmp_path / "runs" / "one")
    shutil.copytree(runs / "one", tmp_path / "runs" / "other")
    text = report("one", "other", "--runs", tmp_path / "runs", "--markdown").read_text("utf-8")
    table = text.split("## one")[0]
    (wins,) = re.findall(r"^\| helpful \| SL-CAI \| Wins against base, % \|(.*)\|$", table, flags=re.M)
    assert re.fullmatch(r" (\d+ \[\d+, \d+\]) \| \1 ", wins)
    assert "left out" not in table and "held-out prompts: " not in table


def test_headings_go_a_level_down_and_what_models_wrote_does_not() -> None:
    from cai.stages.report_beside import _lowered  # pyright: ignore[reportPrivateUsage]

    summary = "# a\n\n## b\n\n````text\n# said\n```\n## said\n````\n\n# c"
    assert _lowered(summary) == "## a\n\n### b\n\n````text\n# said\n```\n## said\n````\n\n## c"


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        (["nowhere"], StoreError, "no run 'nowhere'"),
        (["one", "--to", "report.txt"], InputError, r"ends in .html or .md, or --markdown"),
        (["one", "--to", "report.html", "--markdown"], InputError, "leave out one of them"),
        (["one", "--to", "."], InputError, "is a folder; give a file"),
        (["one", "--to", "/dev/null/x/report.md"], InputError, "can't be made"),
    ],
)
def test_mistakes_are_told(arguments: list[str], error: type[Exception], told: str, runs: Path) -> None:
    result = CliRunner().invoke(app, ["report", *arguments, "--runs", str(runs)])
    assert isinstance(result.exception, error) and re.search(told, str(result.exception))
