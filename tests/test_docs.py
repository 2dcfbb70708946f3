"""The documents name everything there is, say what the code says, and link to what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from cai.cli import app
from cai.docs import pages, write

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = getattr(typer.main.get_command(app), "commands", {})
FOLDERS = ("benchmarks", "cai", "constitutions", "docs", "prompts", "recipes", "requirements", "tests")
SKIPPED = {".venv", ".git", ".pytest_cache", ".ruff_cache", ".hypothesis", "runs", "node_modules", "build", "dist"}
LINK = re.compile(
    r"(?<!!)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)|!\[[^\]]*\]\(([^)\s]+)\)", re.M
)


def markdown() -> list[Path]:
    return [path for path in sorted(ROOT.rglob("*.md")) if not SKIPPED & set(path.relative_to(ROOT).parts)]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def links(text: str) -> list[str]:
    """Where links point, those in code left out."""
    prose = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [next(filter(None, groups)) for groups in LINK.findall(prose)]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+\s+(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, target: str) -> bool:
    """Whether a link of `page` points to a file or heading that is not there."""
    if re.match(r"[a-z]+:", target):
        return False
    name, _, anchor = target.partition("#")
    file = page if not name else (page.parent / name)
    if not file.exists():
        return True
    return bool(anchor) and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8"))


# What is generated.


@pytest.mark.parametrize("name", sorted(pages().keys() - {"cli.md"}))
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert read(f"docs/{name}") == pages()[name], "run `make docs`"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_is_documented_with_its_help(name: str) -> None:
    section = read("docs/cli.md").split(f"## cai {name}\n")[1].split("\n## ")[0]
    command = COMMANDS[name]
    assert command.help
    assert command.help.split("\n")[0].split(". ")[0] in " ".join(section.split())
    for parameter in command.params:
        shown = [option for option in parameter.opts if option.startswith("--")] or [parameter.name]
        assert all(text in section for text in shown), parameter.name


def test_every_parameter_has_help() -> None:
    silent = [
        f"{name} {p.name}" for name, command in COMMANDS.items() for p in command.params if not getattr(p, "help", "")
    ]
    assert silent == []


def test_writing_makes_every_page(tmp_path: Path) -> None:
    write(tmp_path / "new")
    made = {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert made == pages().keys()
    assert (tmp_path / "new" / "cli.md").read_text("utf-8") == pages()["cli.md"]


# What is written by hand.


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_the_documents_of_a_project_are_there(name: str) -> None:
    assert len(read(name).split()) > 20


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_readme_names_every_command(name: str) -> None:
    assert re.search(rf"\bcai {name}\b", read("README.md"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_readme_names_every_folder(folder: str) -> None:
    assert (ROOT / folder).is_dir()
    assert f"{folder}/" in read("README.md")


def test_no_folder_is_forgotten_here() -> None:
    kept = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert kept - SKIPPED - {"shared"} - set(FOLDERS) == set()


@pytest.mark.parametrize("path", sorted((ROOT / "cai").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_package_has_its_line(path: Path) -> None:
    if path.name == "__init__.py":
        return
    named = re.compile(rf"(?<![\w/])(?:cai/)?{re.escape(path.relative_to(ROOT / 'cai').as_posix())}")
    assert any(named.search(read(name)) for name in ("README.md", "ARCHITECTURE.md"))


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_a_file_that_is_named_is_there(name: str) -> None:
    """Paths in backticks that begin in a folder of this project."""
    tops = "|".join(FOLDERS)
    named = re.findall(rf"`((?:{tops})/[\w./-]+\.(?:py|md|yaml|jinja|txt|json))`", read(name))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.M))
    for name in ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"):
        assert set(re.findall(r"`make ([a-z-]+)`", read(name))) <= targets, name


@pytest.mark.parametrize("page", markdown(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_link_is_broken(page: Path) -> None:
    assert [target for target in links(page.read_text("utf-8")) if broken(page, target)] == []


@pytest.mark.parametrize(
    ("target", "bad"),
    [
        ("https://example.org/nowhere", False),
        ("b.md", False),
        ("b.md#two-words", False),
        ("b.md#three", True),
        ("#one", False),
        ("#two", True),
        ("c.md", True),
    ],
)
def test_a_broken_link_is_seen(tmp_path: Path, target: str, bad: bool) -> None:
    page = tmp_path / "a.md"
    page.write_text(f"# One\n\nSee [this]({target}), not `[that](d.md)`.\n")
    (tmp_path / "b.md").write_text("# Two words\n\n```sh\n# three\n```\n")
    assert links(page.read_text()) == [target]
    assert broken(page, target) is bad
