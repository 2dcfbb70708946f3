"""What the tests of the exchange share: a folder as the paper released it, made up or real."""

from pathlib import Path

import pytest
from paper_data import DATA, FILES, write_folder


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The folder."""
    return write_folder(tmp_path / "released", FILES)


@pytest.fixture(scope="session")
def data() -> Path:
    """The paper's own files."""
    if not DATA.is_dir():
        pytest.skip(f"the paper's released files are not at {DATA}")
    return DATA
