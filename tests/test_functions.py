"""A user's functions are found beside the recipe and in the working folder; what can't be imported is told."""

import sys
from pathlib import Path

import pytest

from cai.errors import InputError
from cai.functions import fingerprint_of, load_function


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(text)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test imports is imported anew in the next."""
    for name in [name for name in sys.modules if name.startswith("own_")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_working_folder_comes_first_then_the_recipe_s_then_python_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, beside = tmp_path / "work", tmp_path / "beside"
    write(work, "own_a", "def f(): return 'work'")
    write(beside, "own_a", "def f(): return 'beside'")
    write(beside, "own_b", "def f(): return 'beside'")
    monkeypatch.chdir(work)
    before = list(sys.path)
    assert load_function("own_a:f", beside)() == "work"
    assert load_function("own_b:f", beside)() == "beside"
    assert load_function("math:floor")(2.5) == 2
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_gone:f", r"'own_gone:f'.*cannot be imported \(No module named 'own_gone'\)"),
        ("own_gone.sub:f", "No module named 'own_gone'"),
        ("own_torn:f", "cannot be imported"),
        ("own_needs:f", "No module named 'own_nothing'"),
        ("own_good:solvd", r"own_good.py has no function 'solvd'; did you mean 'solved'\?"),
        ("own_good:zzz", "it has: solved"),
        ("own_good:number", "has no function 'number'"),
    ],
)
def test_what_cannot_be_had_is_told(tmp_path: Path, name: str, message: str) -> None:
    write(tmp_path, "own_torn", "def f(:")
    write(tmp_path, "own_needs", "import own_nothing")
    write(tmp_path, "own_good", "number = 3\ndef solved(): ...")
    with pytest.raises(InputError, match=message):
        load_function(name, tmp_path)


def test_another_text_is_another_function(tmp_path: Path) -> None:
    write(tmp_path, "own_c", "def f(): return 1")
    write(tmp_path, "own_d", "def f(): return 2")
    write(tmp_path, "own_e", "def f(): return 1")
    one, two, three = (fingerprint_of(f"own_{name}:f", tmp_path) for name in "cde")
    assert one == three != two
