"""YAML with line numbers: what is read, what is refused, and where errors point."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from cai import yamlfile
from cai.errors import InputError
from cai.yamlfile import YamlFile, parse_yaml, read_yaml


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Red(Strict):
    type: Literal["red"] = "red"
    redness: int = 1


class Blue(Strict):
    type: Literal["blue"] = "blue"
    depth: float = 1.0


class Group(Strict):
    steps: int = Field(default=1, ge=1)
    rate: float = 0.1


class Settings(Strict):
    name: str
    group: Group = Group()
    groups: tuple[Group, ...] = ()
    paint: Annotated[Red | Blue, Field(discriminator="type")] = Red()


def data(text: str) -> Any:
    return parse_yaml(text, "f.yaml").data


def complaint(text: str) -> str:
    """What is said of `text` as a Settings file."""
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml").check(Settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("+3", 3),
        ("010", 10),
        ("08", 8),
        ("0x1F", 31),
        ("-.inf", -math.inf),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'1'", "1"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("0o7", "0o7"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("'<<'", "<<"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    found = data(f"a: {text}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(data("a: .nan")["a"])


def test_keys_are_always_words() -> None:
    assert data("1: a\ntrue: b\nno: c\n2e-5: d") == {"1": "a", "true": "b", "no": "c", "2e-5": "d"}


def test_every_value_knows_its_line() -> None:
    file = parse_yaml("# head\na: 1\nb:\n  c: 2\n  d:\n    - x\n    - e: 3\n      f: |\n        long\n", "f.yaml")
    expected = {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "d"): 5, ("b", "d", 0): 6, ("b", "d", 1, "f"): 8}
    assert {at: file.line(at) for at in expected} == expected


def test_the_line_of_what_is_absent_is_that_of_its_nearest_parent() -> None:
    file = parse_yaml("a: 1\nb:\n  c: 2\n", "f.yaml")
    assert file.line(("b", "x", 3, "y")) == 2
    assert file.line(("x",)) == 1


def test_line_numbers_in_a_file_with_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\r\ngroup:\r\n  stps: 1\r\n")
    with pytest.raises(InputError, match=r"f\.yaml:3: group\.stps: unknown key"):
        read_yaml(path).check(Settings)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {k: [1]}\nb: *x", {"a": {"k": [1]}, "b": {"k": [1]}}),
        ("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", {"a": {"k": 1, "l": 2}, "b": {"k": 1, "l": 3}}),
        ("a: &x {k: 1}\nb: {k: 3, <<: *x}", {"a": {"k": 1}, "b": {"k": 3}}),
        (
            "a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y]}",
            {"a": {"k": 1}, "b": {"k": 2, "l": 2}, "c": {"k": 1, "l": 2}},
        ),
        (
            "a: &x {k: 1}\nb: &y {<<: *x, k: 2}\nc: *y\nd: *y",
            {"a": {"k": 1}, "b": {"k": 2}, "c": {"k": 2}, "d": {"k": 2}},
        ),
        ("a: &x {<<: *x, k: 1}", {"a": {"k": 1}}),
        ("{<<: {k: 1}}", {"k": 1}),
    ],
)
def test_anchors_and_merge_keys(text: str, value: Any) -> None:
    assert data(text) == value


def test_a_merged_mapping_is_a_copy() -> None:
    found = data("a: &x {k: [1]}\nb: *x")
    found["b"]["k"].append(2)
    assert found["a"] == {"k": [1]}


@pytest.mark.parametrize("text", ["a: [1, two, {b: no}]", "x: 'a: b'\ny: [[], {}]", "- 1.5\n- {a: ~}\n", "plain"])
def test_what_both_versions_of_yaml_agree_on_is_read_as_pyyaml_reads_it(text: str) -> None:
    assert data(text.replace("no", "'no'")) == yaml.safe_load(text.replace("no", "'no'"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3: the key 'a' stands twice in this mapping; keep one"),
        ("x:\n  - b: 1\n    'b': 2", "f.yaml:3: the key 'b' stands twice in this mapping; keep one"),
        ("a: 1\n? [b]\n: 2", "f.yaml:2: a key must be a single word, not a list or mapping"),
        ("a: 1\nb:\n  <<: 3", "f.yaml:3: << merges a mapping or a list of mappings; give an alias such as *base"),
        ("a: 1\nb: !!bool maybe", "f.yaml:2: 'maybe' cannot be read as bool; quote it if it is text"),
        ("a: !!timestamp x", "f.yaml:1: 'x' cannot be read as timestamp; quote it if it is text"),
        ("a: !!int ''", "f.yaml:1: '' cannot be read as int; quote it if it is text"),
        ("a: !!float ''", "f.yaml:1: '' cannot be read as float; quote it if it is text"),
    ],
)
def test_what_yaml_allows_and_we_refuse(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: 1\nb: [1", "f.yaml:2: not valid YAML: "),
        ("a: 1\n\tb: 2", "f.yaml:2: not valid YAML: "),
        ("a: 1\nb: *nowhere", "f.yaml:2: not valid YAML: "),
        ("a: !!python/name:os.system x", "f.yaml:1: not valid YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2", "f.yaml:2: not valid YAML: "),
        ("a: \x00", "f.yaml: not valid YAML: unacceptable character"),
        ('a: "\\UFFFFFFFF"', "f.yaml: not valid YAML: "),
        ("[" * 1000, "f.yaml: nested too deeply"),
        ("&a [*a]", "f.yaml: nested too deeply"),
        ("a: " + "9" * 5000, "f.yaml:1: '999"),
        ("a: 1\nb: 0x" + "f" * 5000, "f.yaml:2: '0xff"),
        ("a: 1\nb: " + "1" * 900 + "." + "1" * 900, "f.yaml:2: '111"),
        ("a: !!int 0x" + "f" * 5000, "f.yaml:1: '0xff"),
    ],
)
def test_what_is_not_yaml(text: str, start: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "f.yaml")
    assert str(caught.value).startswith(start)
    assert len(str(caught.value)) < 300


def nested(levels: int, line: str) -> str:
    """Ten aliases a level: 10 ** levels values."""
    text = "l0: &l0 {k: 1}\n"
    for level in range(1, levels):
        text += line.format(at=f"l{level}", below=", ".join([f"*l{level - 1}"] * 10))
    return text


def test_nested_aliases_do_not_fill_the_memory() -> None:
    with pytest.raises(InputError, match=r"f\.yaml:\d+: unfolds to more than 200000 values; are aliases nested\?"):
        parse_yaml(nested(9, "{at}: &{at} [{below}]\n"), "f.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {long}\nb: [{aliases}]\n",
        "a: &a {{k: {long}}}\nb: [{aliases}]\n",
        "a: &a {{{long}: 1}}\nb: [{aliases}]\n",
        "a: &a {{{long}: 1}}\nb: [{merges}]\n",
    ],
    ids=["a text", "a value", "a key", "a merged key"],
)
def test_what_aliases_repeat_is_counted(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlfile, "MAX_CHARACTERS", 100_000)
    shown = {"long": "z" * 1000, "aliases": ", ".join(["*a"] * 200), "merges": ", ".join(["{<<: *a}"] * 200)}
    with pytest.raises(InputError, match=r"f\.yaml:\d+: holds more than 100000 characters with its aliases unfolded"):
        parse_yaml(text.format(**shown), "f.yaml")


def test_a_long_text_that_is_repeated_by_aliases_does_not_fill_the_memory() -> None:
    """20 kB, 4,000 times."""
    text = f"a: &a {'z' * 20_000}\nb: [{', '.join(['*a'] * 4000)}]\n"
    with pytest.raises(InputError, match=r"f\.yaml:\d+: holds more than 67108864 characters"):
        parse_yaml(text, "f.yaml")


def test_numbers_are_as_long_as_anyone_needs_them() -> None:
    assert data("a: 0x" + "f" * 998)["a"] == 16**998 - 1
    assert str(data("a: " + "9" * 1000)["a"]) == "9" * 1000


def test_nested_merges_cost_no_more_than_their_text() -> None:
    assert data(nested(40, "{at}: &{at} {{<<: [{below}]}}\n"))["l39"] == {"k": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ngroup:\n  stps: 1", "f.yaml:3: group.stps: unknown key; did you mean 'steps'?"),
        ("name: x\nzzz: 1", "f.yaml:2: zzz: unknown key; known here: group, groups, name, paint"),
        ("name: x\ngroups:\n  - {}\n  - rates: 1", "f.yaml:4: groups.1.rates: unknown key; did you mean 'rate'?"),
        ("name: x\npaint:\n  type: blue\n  dept: 1", "f.yaml:4: paint.dept: unknown key; did you mean 'depth'?"),
        ("\ngroup: {}", "f.yaml:2: name: required and missing"),
        (
            "name: x\ngroup:\n  steps: 0",
            "f.yaml:3: group.steps: input should be greater than or equal to 1 (found 0)",
        ),
        ("name: x\npaint: {redness: 2}", "f.yaml:2: paint: the key 'type' is required here and missing"),
        ("name: x\ngroup: 3", "f.yaml:2: group: expected a mapping of settings (found 3)"),
        ("- name", "f.yaml:1: expected a mapping of settings, found a list"),
        ("", "f.yaml:1: expected a mapping of settings, found nothing"),
    ],
)
def test_mistakes_in_settings_name_file_line_and_place(text: str, message: str) -> None:
    assert complaint(text) == message


def test_a_wrong_type_in_a_union_lists_the_right_ones() -> None:
    said = complaint("name: x\npaint:\n  type: green")
    assert said == "f.yaml:3: paint.type: expected one of 'red', 'blue' (found 'green')"
    assert "'red', 'blue'" in complaint("name: x\npaint:\n  type: green")


def test_all_mistakes_are_told_at_once() -> None:
    assert complaint("group:\n  stps: 1\n  rate: fast").splitlines() == [
        "f.yaml:1: name: required and missing",
        "f.yaml:3: group.rate: input should be a valid number, unable to parse string as a number (found 'fast')",
        "f.yaml:2: group.stps: unknown key; did you mean 'steps'?",
    ]


def test_of_very_many_mistakes_the_first_are_told() -> None:
    told = complaint(f"name: x\ngroups: [{', '.join(['1'] * 20_000)}]").splitlines()
    assert len(told) == 201 and "groups.199" in told[-2]
    assert told[-1] == "f.yaml:1: and 19800 mistakes more; mend these first"


def test_a_grafted_value_is_blamed_on_where_it_came_from() -> None:
    file = parse_yaml("name: x\n", "f.yaml")
    file.data["group"] = {"steps": 0}
    file.graft(("group", "steps"), parse_yaml("0", "override 'group.steps=0'"))
    with pytest.raises(InputError, match=r"^override 'group\.steps=0': group\.steps: input should be greater"):
        file.check(Settings)
    assert str(file.error(("name",), "odd")) == "f.yaml:1: name: odd"


def test_a_good_file_becomes_the_model() -> None:
    settings = parse_yaml("name: no\ngroup: {rate: 2e-5}\npaint: {type: blue}", "f.yaml").check(Settings)
    assert settings == Settings(name="no", group=Group(rate=2e-5), paint=Blue())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: \xff", r"f\.yaml: byte 3 is not UTF-8"), (None, r"f\.yaml: cannot be read \(No such")],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "f.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_yaml(path)


PIECES = st.sampled_from(
    [
        *("a", "b: ", "- ", "? ", ": ", "{", "}", "[", "]", ", ", "&x ", "*x", "<<: *x", "name: ", "group: ", "1", "~"),
        *("!!int ", "!!bool ", "!!binary ", "!!set ", "!!timestamp ", "!", "%YAML", "---", "#", "@", "`", "|", ">"),
        *("'", '"', "\\U", "F", ".", "\u00e9", " ", "\n", "\n  ", "\t", "\x85", "\u2028", "\ufeff"),
    ]
)


@given(st.text() | st.lists(PIECES, max_size=16).map("".join))
@example('"\\UFFFFFFFF"')
@example("!!bool x")
@example("? [a]\n: b")
def test_any_text_is_read_or_refused_by_an_input_error(text: str) -> None:
    try:
        file = parse_yaml(text, "f.yaml")
        assert isinstance(file, YamlFile)
        file.check(Settings)
    except InputError as error:
        assert str(error).startswith("f.yaml")
