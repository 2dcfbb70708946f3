"""The report's section on an evaluation: complete, safe, and honest about what could not be told."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from evaluation_data import classified, evaluation, match, played
from report_data import findings

from cai.evaluation import Evaluation
from cai.evaluation_tables import grids, shown
from cai.stages.plots_evaluation import evaluation_plots
from cai.stages.report import write_report
from cai.stages.report_evaluation import evaluated
from cai.stats import Estimate

pytest.importorskip("matplotlib")

HOSTILE = "<script>alert(1)</script> </details></section> {{ 7 * 7 }} | a\nb \x1b[31m"


def written(found: Evaluation | None, folder: Path) -> tuple[str, str]:
    files = write_report(findings(evaluation=found), folder)
    return files.html.read_text("utf-8"), files.markdown.read_text("utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return written(evaluation(), tmp_path_factory.mktemp("page"))


def test_every_suite_has_its_table_in_page_and_summary(page: tuple[str, str], tmp_path: Path) -> None:
    for grid in grids(evaluation()):
        assert all(f"<h3>{grid.title}</h3>" in page[0] and grid.title in page[1] for _ in (0,))
        for row in grid.rows:
            assert all(cell.split(" [")[0] in page[0] for cell in row)
    drawn = written(None, tmp_path)[0].count("<svg") + len(evaluation_plots(evaluation()))
    assert page[0].count("<svg") == drawn and '<a href="#evaluation">' in page[0]


def test_every_suite_says_which_differences_are_told(page: tuple[str, str]) -> None:
    for grid in grids(evaluation()):
        assert grid.said or grid.stage == "evaluate", grid.title
        assert all(sentence.split(": ", 1)[-1] in page[0].replace("\u00a0", " ") for sentence in grid.said)


def test_without_a_suite_there_is_no_section(tmp_path: Path) -> None:
    for nothing in (None, Evaluation()):
        html, markdown = written(nothing, tmp_path)
        assert 'id="evaluation"' not in html and "## Evaluation" not in markdown


def test_the_same_records_in_any_order_give_the_same_bytes(page: tuple[str, str], tmp_path: Path) -> None:
    one = evaluation()
    turned = Evaluation(
        one.measurements[::-1],
        one.matches[::-1],
        one.harms[::-1],
        one.classified[::-1],
        one.borderline[::-1],
        one.choices,
        one.resamples,
        one.chosen,
    )
    assert written(turned, tmp_path) == page


def test_answers_that_are_quoted_cannot_act(tmp_path: Path) -> None:
    found = Evaluation(classified=[classified("base", 0, "full refusal", answer=HOSTILE)], resamples=100)
    html, _ = written(found, tmp_path)
    assert "<script" not in html and "\x1b" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &lt;/details&gt;" in html and "{{ 7 * 7 }}" in html


def test_disputes_are_counted_and_the_surest_shown_first() -> None:
    found = evaluated(evaluation(), findings().recipe)
    assert found
    sure = [max(one.conduct.p.values()) for one in found.disputes]
    assert len(found.disputes) == 6 < found.disputed and sure == sorted(sure, reverse=True)


@pytest.mark.parametrize(
    ("estimate", "scale", "text"),
    [
        (Estimate(0.5, 0.25, 0.75, 4), 100, "50 [25, 75]"),
        (Estimate(1.5, -math.inf, 2.0, 4), 1, "1.50 [-∞, 2.00]"),
        (Estimate(math.inf, 10.0, math.inf, 4), 1, "∞ [10.00, ∞]"),
        (Estimate(2.0, -math.inf, math.inf, 1), 1, "2.00 (one value)"),
        (None, 1, "-"),
    ],
)
def test_estimates_as_text(estimate: Estimate | None, scale: float, text: str) -> None:
    assert shown(estimate, scale) == text


def test_a_clean_sweep_is_shown_as_infinite_and_drawn_to_the_edge(tmp_path: Path) -> None:
    sweep = [match(place, "base", "SL-CAI", 0.1) for place in range(12)]
    finite = played({"SL-CAI": 0.0, "RL-CAI": 0.3}, 30, "harmful")
    html, _ = written(Evaluation(matches=[*sweep, *finite], resamples=100), tmp_path)
    section = re.sub(r"<[^>]+>", "", html[html.index('<section id="evaluation">') :])
    assert "-∞" in section and "nan" not in section.lower().split("win rates")[0]


def test_the_summary_s_tables_are_tables(page: tuple[str, str]) -> None:
    section = page[1][page[1].index("## Evaluation") :].split("\n## ")[0]
    widths = {line.count("|") for line in section.splitlines() if line.startswith("| harmful ")}
    assert widths <= {11, 12, 6} and "| harmful | SL-CAI | base | 24 |" in section
