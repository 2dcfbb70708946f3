"""Templates that try to get out of the sandbox or to run without end; tests/test_prompts.py has plain mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.prompts import Templates
from cai.records import Message
from cai.resources import shipped

ONE = (Message(role="user", content="Why?"),)
TURNS = "{% for m in messages %}" * 3 + "{% for a in 'x' * 9999 %}{% for b in 'x' * 9999 %}{% endfor %}{% endfor %}"

ESCAPES = (
    "{{ ''.__class__ }}", "{{ ''['__class__'] }}", "{{ ''|attr('__class__') }}", "{{ ''|attr('\\x5f_class__') }}",
    "{{ messages[0].model_copy.__func__.__globals__ }}", "{{ turn.__globals__ }}", "{{ turn.__code__ }}",
    "{{ ''.format.__self__ }}", "{{ '{0.__class__}'.format(1) }}", "{{ '%s'.__mod__(1) }}", "{{ self.__init__ }}",
    "{{ messages[0].__init__.__globals__ }}", "{{ cycler.__init__.__globals__ }}", "{{ lipsum.__globals__ }}",
    "{{ messages[0].model_construct(role='x').__dict__ }}", "{% import 'os' as os %}", "{% include '/etc/passwd' %}",
    "{% include '../../../etc/passwd' %}", "{% include ['../x', '/etc/passwd'] %}", "{% extends '/etc/passwd' %}",
    "{{ namespace() }}", "{{ request }}", "{{ config }}",
)  # fmt: skip

BOMBS = (
    "{{ 'a' * 99999999 }}", "{{ 9 ** 99999999 }}", "{{ [1] * 10 ** 9 }}", "{{ (2 ** 9999) * (2 ** 9999) }}",
    "{{ 'a'.center(10 ** 9) }}", "{{ 'a'|center(10 ** 9) }}", "{{ 'a'.ljust(10 ** 9) }}", "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}", "{{ 'a'|indent(10 ** 9) }}", "{{ [1]|batch(10 ** 9, 1)|list }}",
    "{{ '\t'.expandtabs(10 ** 9) }}", "{% for i in range(10 ** 9) %}{% endfor %}", f"{TURNS}{'{% endfor %}' * 3}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% include 'respond.jinja' %}", "{{ " + "(" * 5000,
    "{{ " + "-" * 50000 + "1 }}", f"{{{{ {'9' * 5000} }}}}", "{% for a in messages %}" * 30 + "{% endfor %}" * 30,
)  # fmt: skip


@pytest.mark.parametrize("source", ESCAPES)
def test_no_template_reaches_python_or_another_file(tmp_path: Path, source: str) -> None:
    refused(tmp_path, source)


@pytest.mark.parametrize("source", BOMBS, ids=range(len(BOMBS)))
@pytest.mark.timeout(60)
def test_no_template_runs_without_end(tmp_path: Path, source: str) -> None:
    refused(tmp_path, source)


@pytest.mark.parametrize("how", ["attribute='__class__'", "'attr', '__class__'"])
def test_what_a_filter_may_not_read_is_nothing(tmp_path: Path, how: str) -> None:
    folder = Path(shutil.copytree(shipped("prompts") / "templates" / "chat", tmp_path / "chat"))
    with (folder / "respond.jinja").open("a", encoding="utf-8") as file:
        file.write(f"{{{{ messages|map({how})|list }}}}")
    shown = Templates("chat", tmp_path).render("respond", messages=ONE).messages[-1].content
    assert "class" not in shown and "Undefined" in shown


def refused(tmp_path: Path, source: str) -> None:
    folder = Path(shutil.copytree(shipped("prompts") / "templates" / "chat", tmp_path / "chat"))
    path = folder / "respond.jinja"
    path.write_text(f"{path.read_text('utf-8')}\n{source}", "utf-8")
    with pytest.raises(InputError, match=r"respond\.jinja"):
        Templates("chat", tmp_path).render("respond", messages=ONE)


def test_a_long_conversation_is_within_the_bounds() -> None:
    many = tuple(Message(role=("user", "assistant")[n % 2], content="Go on.") for n in range(20_001))
    assert len(Templates("chat").render("respond", messages=many).messages) == 20_001
