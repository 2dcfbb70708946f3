"""What models wrote, on a terminal: nothing that it would obey, and what changed marked."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cai.terminal import changed, changes, in_colour, printable

TEXTS = st.lists(st.sampled_from(["you", "can", "hit", "them", "ask", "kindly", "or", "你", "\n\n"]), max_size=14).map(
    " ".join
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext é 你好 🙂", "plain\n\ttext é 你好 🙂"),
        ("\x1b]0;owned\x07", "\ufffd]0;owned\ufffd"),
        ("a\rb\x9b2J", "a\ufffdb\ufffd2J"),
        ("\u202eright to left", "\ufffdright to left"),
        ("", ""),
    ],
)
def test_no_control_character_reaches_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ("Hit him hard.", "Hit him hard.", "Hit him hard."),
        ("I like red apples", "I like green apples", "I like [-red-] {+green+} apples"),
        ("Hello there, friend", "Hi there, friend", "[-Hello-] {+Hi+} there, friend"),
        ("Well, yes", "yes", "[-Well,-] yes"),
        ("Say so", "Say so\n\nand smile", "Say so\n\n{+and smile+}"),
        ("", "All new.", "{+All new.+}"),
        ("All gone.", "", "[-All gone.-]"),
        ("", "", ""),
        # A word that two sentences happen to share is no part of the one that stayed.
        (
            "You can hit them hard now",
            "You can ask them kindly now",
            "You can [-hit them hard-] {+ask them kindly+} now",
        ),
        ("你打他", "你问他", "你[-打-]{+问+}他"),
        ("go  away\x1b[2J", "go  home", "go  [-away\ufffd[2J-]  {+home+}"),
    ],
)
def test_changes_are_marked_word_by_word(before: str, after: str, marked: str) -> None:
    assert changed(before, after, colour=False).plain == marked


def test_changes_in_colour_are_the_same_words_without_marks() -> None:
    text = changed("I like red apples", "I like green apples", colour=True)
    assert text.plain == "I like red green apples"
    assert {text.plain[span.start : span.end]: span.style for span in text.spans} == {
        "red": "red strike",
        "green": "bold green",
    }


@given(TEXTS, TEXTS)
def test_the_pieces_are_both_texts(before: str, after: str) -> None:
    pieces = changes(before, after)
    old = " ".join(text for kind, text in pieces if kind != "added")
    new = "".join(text for kind, text in pieces if kind != "removed")
    assert "".join(old.split()) == "".join(before.split())
    assert new.strip() == after.strip()
    assert all(text.strip() for _, text in pieces)


@given(TEXTS)
def test_a_text_that_stays_has_no_changes(text: str) -> None:
    assert {kind for kind, _ in changes(text, text)} <= {"kept"}


@pytest.mark.parametrize(
    ("console", "colour"),
    [
        (Console(file=io.StringIO()), False),
        (Console(file=io.StringIO(), force_terminal=True, color_system="standard", no_color=False), True),
        (Console(file=io.StringIO(), force_terminal=True, color_system="standard", no_color=True), False),
        (Console(file=io.StringIO(), force_terminal=True, color_system=None), False),
    ],
)
def test_colour_is_used_where_it_can_be_seen(console: Console, colour: bool) -> None:
    assert in_colour(console) is colour


@pytest.mark.parametrize("printed", ["console.print('line')", "import typer; typer.echo('line')"])
def test_a_pipe_that_nobody_reads_is_no_difference_found(printed: str) -> None:
    """Exit code 1 says that a difference was found; of a closed pipe other programs say 141 (128 and SIGPIPE)."""
    command = f"""
import cai.cli
from cai.cli import app, console, main
@app.command()
def talk():
    while True:
        {printed}
main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", command, "talk"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as one:
        assert one.stdout and one.stderr
        one.stdout.readline()
        one.stdout.close()
        said = one.stderr.read()
    assert (one.returncode, said) == (141, b"")
