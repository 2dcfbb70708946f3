"""The catalogue of hostile files: each is read, or refused by an error of ours that names file and line.

More of it stands where the readers are tested: YAML's odd corners in test_yamlfile.py, rows of prompts in
test_questions.py, damaged records in test_store.py, templates in test_hostile_templates.py, judges' replies in
judge/test_hostile_judging.py, the viewer's addresses in view/test_view_hostile.py. What is random is
`python -m benchmarks.fuzz`; a little of it runs here.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz_targets import targets
from cai.config import load_recipe
from cai.constitution import load_constitution
from cai.errors import CaiError, InputError, StoreError
from cai.exchange.reading import read_json
from cai.labels import HumanLabel
from cai.labels_exchange import read_labels
from cai.questions import load_prompts
from cai.records import Revision
from cai.store import RunFolder, StepFolder

GIGABYTE = 2**30

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return path


# YAML: recipes, constitutions, worked examples.

YAML: dict[str, tuple[str | bytes, str]] = {
    "a billion laughs": (LAUGHS, r":\d+: unfolds to more than"),
    "an alias inside its anchor": ("name: &a [*a]\n", "nested too deeply"),
    "deep lists": ("name: " + "[" * 20_000, "nested too deeply"),
    "deep mappings": ("".join(f"{' ' * depth}a:\n" for depth in range(3000)), "nested too deeply"),
    "a Python object": ("name: !!python/object/apply:os.system ['true']\n", ":1: "),
    "a key twice": ("name: a\nmodels: {assistant: m}\nname: b\n", r":3: the key 'name' stands twice"),
    "a NUL byte": ("name: a\0b\n", "not valid YAML"),
    "invalid UTF-8": (b"name: \xff\xfe\n", "byte 6 is not UTF-8"),
    "half a surrogate pair": (b"name: \xed\xa0\x80\n", "byte 6 is not UTF-8"),
    "an escaped half of a pair": ('name: a\ndescription: "\\ud800"\n', ":2: half a surrogate pair"),
    "half a pair in a key": ('name: a\n"\\ud800": 1\n', ":2: half a surrogate pair"),
    "UTF-16": ("name: a\n".encode("utf-16"), "is not UTF-8"),
    "a number of 5,000 digits": (f"name: a\nseed: {'9' * 5000}\n", ":2: "),
    "a hexadecimal number of 5,000 digits": (f"name: a\nseed: 0x{'f' * 5000}\n", ":2: .*quote it if it is text"),
    "the same where a text belongs": (f"name: a\nreport: 0x{'f' * 5000}\n", ":2: .*quote it if it is text"),
    "NaN": ("name: a\nfailures: .nan\nmodels: {assistant: m}\n", ":2: failures: "),
    "infinity": ("name: a\nfailures: .inf\nmodels: {assistant: m}\n", ":2: failures: "),
    "a name that leads out": ("name: ../../x\nmodels: {assistant: m}\n", ":1: name: a name may hold"),
    "an absolute name": ("name: /tmp/x\nmodels: {assistant: m}\n", ":1: name: a name may hold"),
    "a name with a NUL": ('name: "a\\0b"\nmodels: {assistant: m}\n', ":1: name: a name may hold"),
    "a list for a mapping": ("- a\n- b\n", ":1: expected a mapping"),
    "a document after another": ("name: a\n---\nname: b\n", ":2: "),
    "nothing": ("", ":1: expected a mapping of settings, found nothing"),
}


@pytest.mark.parametrize("kind", YAML)
def test_a_hostile_recipe_is_refused_with_its_file(tmp_path: Path, kind: str) -> None:
    content, told = YAML[kind]
    path = write(tmp_path / "r.yaml", content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        load_recipe(str(path))
    assert re.search(told, str(caught.value))
    assert len(str(caught.value)) < 20_000


def test_a_line_of_10_mb_in_a_recipe_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", f"name: a\nmodels: {{assistant: m}}\ndescription: {'x' * 10_000_000}\n")
    assert len(load_recipe(str(path)).description) == 10_000_000


@pytest.mark.parametrize("name", [f"name: 0x{'f' * 5000}", f"name: {'9' * 5000}", f"name: c\nnotes: 0x{'f' * 5000}"])
def test_a_constitution_with_a_long_number_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "c.yaml", f"{name}\nprinciples: []\n")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}:\d: .*quote it if it is text"):
        load_constitution(str(path))


def test_a_constitution_that_repeats_a_long_text_by_aliases_is_refused(tmp_path: Path) -> None:
    """620 kB that come to 3 GB."""
    long, aliases = "z" * 20_000, ", ".join(["*a"] * 150_000)
    principle = f"- id: a\n  critique: x\n  revision: y\n  notes: &a {long}\n  tags: [{aliases}]\n"
    path = write(tmp_path / "c.yaml", f"name: c\nprinciples:\n{principle}")
    with pytest.raises(InputError, match=rf"{re.escape(str(path))}:6: holds more than 67108864 characters"):
        load_constitution(str(path))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = write(tmp_path / "r.yaml", "\ufeffname: a\nmodels: {assistant: m}\n")
    assert load_recipe(str(path)).name == "a"


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "/dev/zero", ".", "c.yaml", "x\0y", "x" * 5000])
def test_a_constitution_cannot_extend_what_is_none(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "c.yaml", f"name: c\nextends: {json.dumps(name)}\nprinciples: []\n")
    with pytest.raises(InputError) as caught:
        load_constitution(str(path))
    assert "root:" not in str(caught.value), "what stands in another file is not told"


def test_a_run_cannot_be_named_out_of_its_folder_by_an_override() -> None:
    with pytest.raises(InputError, match="a name may hold letters"):
        load_recipe("smoke", ["name=../x"])


# Prompts.

ROWS: dict[str, tuple[str, bytes, str]] = {
    "a NUL byte": ("p.txt", b"a\nb\0c\n", ":2: holds a NUL byte"),
    "invalid UTF-8": ("p.txt", b"a\n\xff\n", ":2: byte 0 of the line is not UTF-8"),
    "half a pair": ("p.jsonl", b'{"prompt": "\\ud800"}\n', ":1: .*half a surrogate pair"),
    "deep JSON": ("p.jsonl", b"[" * 100_000, ":1: not valid JSON"),
    "a long number": ("p.jsonl", b'{"prompt": ' + b"9" * 5000 + b"}", ":1: not valid JSON"),
    "NaN": ("p.jsonl", b'{"prompt": NaN}', ":1: prompt: expected text"),
    "infinity": ("p.jsonl", b'{"prompt": -Infinity}', ":1: prompt: expected text"),
    "an open quote of 17 MB": ("p.csv", b'prompt\n"' + b"x" * 17_000_000, ":2: not valid CSV"),
    "no gzip": ("p.txt.gz", b"a prompt\n", "cannot be read"),
    "a cut gzip": ("p.txt.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b", "cannot be read"),
    "a system turn last": ("p.jsonl", b'{"messages": [{"role": "system", "content": "x"}]}', ":1: "),
    "a role of another": ("p.jsonl", b'{"messages": [{"role": "tool", "content": "x"}]}', ":1: .*unknown role"),
}


@pytest.mark.parametrize("kind", ROWS)
def test_hostile_prompts_are_refused_with_their_line(tmp_path: Path, kind: str) -> None:
    name, content, told = ROWS[kind]
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=re.escape(str(path)) + f".*{told.removeprefix('.*')}"):
        load_prompts(str(path), "harmful")


@pytest.mark.parametrize(
    ("name", "start", "piece", "told"),
    [
        ("p.txt.gz", b"one\n", b"a" * 2**20, ":2: a line that is longer than 33554432 bytes"),
        ("p.jsonl.gz", b'{"prompt": "', b"a" * 2**20, ":1: a line that is longer than 33554432 bytes"),
        ("p.csv.gz", b"prompt\none\n", b"a" * 2**20, ":3: a line that is longer than 33554432 bytes"),
        (
            "p.csv.gz",
            b'prompt\n"',
            (b'","' + b"a" * 1020 + b"\n") * 2**10,
            r":\d+: a row that is longer than 33554432 characters",
        ),
    ],
)
def test_an_archive_that_unfolds_to_an_endless_line_is_refused(
    tmp_path: Path, name: str, start: bytes, piece: bytes, told: str
) -> None:
    """Read under a limit of address space that a whole line of it would not fit into."""
    path = tmp_path / name
    with gzip.open(path, "wb", 1) as file:
        file.write(start)
        for _ in range(700):
            file.write(piece)
    code = f"from cai.questions import load_prompts; load_prompts({str(path)!r}, 'harmful')"
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({GIGABYTE}, {GIGABYTE})); "
    said = subprocess.run([sys.executable, "-c", limit + code], capture_output=True, text=True).stderr.splitlines()
    assert re.search(f"InputError: {re.escape(str(path))}{told}", said[-1]), said[-1]


@pytest.mark.parametrize("name", ["p.txt", "p.jsonl", "p.csv"])
def test_a_prompt_of_10_mb_is_read(tmp_path: Path, name: str) -> None:
    text = "why " * 2_500_000
    row = {"p.txt": text, "p.jsonl": json.dumps({"prompt": text}), "p.csv": f"prompt\n{text}"}[name]
    found = load_prompts(str(write(tmp_path / name, row + "\n")), "harmful").prompts
    assert len(found[0].messages[0].content) == len(text.strip())


def test_of_a_key_that_stands_twice_in_a_row_the_last_counts(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", '{"prompt": "one", "prompt": "two"}\n')
    assert load_prompts(str(path), "harmful").prompts[0].messages[0].content == "two"


# Labels and other projects' files.


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{", "[1]", '{"comparison": "x", "labeller": "../x", "choice": "a"}', '[{"annotations": 3}]',
     '{"comparison": "x", "labeller": "a", "choice": "c"}', '[{"responses": {"better": [0]}, "fields": {}, "id": 1}]',
     '{"comparison": "x", "labeller": "a", "choice": "a", "seconds": ' + "9" * 5000 + "}", "\0", ""],
    ids=range(10),
)  # fmt: skip
def test_hostile_labels_are_refused_with_their_place(text: str) -> None:
    with pytest.raises(InputError, match=r"labels\.jsonl"):
        read_labels(text, "labels.jsonl")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/x", "a\0", "x" * 61, ".hidden", "a\n"])
def test_a_labeller_is_no_path(name: str) -> None:
    with pytest.raises(InputError, match="no name of a labeller"):
        HumanLabel.of("x", name, "a")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        (b'{"a": "1", "a": "2"}', "stands twice"),
        (b'{"a": "\\ud800"}', "half a surrogate pair"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b'{"a": 1', ":1: not JSON"),
    ],
)
def test_hostile_json_of_another_project_is_refused_with_its_file(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(InputError, match=rf"f\.json.*{told}"):
        read_json(write(tmp_path / "f.json", content), dict[str, str])


# A run's own files.


@pytest.mark.parametrize(
    "damage", [b"[]\n", b"3\n", b'{"id": 1}\n', b"\0\n", b"\xff\n", b"[" * 100_000 + b"\n", b'{"round": 1e999}\n']
)
def test_a_damaged_record_is_told_with_its_line(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path / "items.jsonl", damage)
    with pytest.raises(StoreError, match=r"items\.jsonl:1: "):
        list(StepFolder(tmp_path).records(Revision))


@pytest.mark.parametrize(
    "damage", [b"[]\n", b"3\n", b'{"step": {}}\n', b'{"step": []}\n', b'"x"\n', b"[" * 100_000 + b"\n"]
)
def test_a_damaged_row_of_metrics_is_told_with_its_line(tmp_path: Path, damage: bytes) -> None:
    write(tmp_path / "metrics.jsonl", damage)
    with pytest.raises(StoreError, match=r"metrics\.jsonl:1: "):
        StepFolder(tmp_path).metrics()


@pytest.mark.parametrize(
    "told",
    [[], {}, {"steps": []}, {"steps": {"revise": 3}}, {"steps": {"revise": "../../x"}}, {"steps": {"revise": "/etc"}},
     "x", None, {"steps": {"revise": "made/../../x"}}],
)  # fmt: skip
def test_a_run_whose_steps_lie_elsewhere_is_refused(tmp_path: Path, told: Any) -> None:
    (tmp_path / "made").mkdir()
    write(tmp_path / "made" / "run.json", json.dumps(told))
    with pytest.raises(StoreError, match=r"run\.json"):
        _ = RunFolder(tmp_path, "made").steps


# At random.


@pytest.mark.parametrize("name", sorted(targets()))
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_a_file_changed_at_random_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    draw = random.Random(seed)
    try:
        targets()[name].read(targets()[name].case(draw), tmp_path_factory.mktemp("case"), draw)
    except CaiError as error:
        assert str(error)
