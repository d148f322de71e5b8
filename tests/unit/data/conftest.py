from pathlib import Path

import pytest

from .hospital import Hospital


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    folder = tmp_path / "hospital"
    folder.mkdir()
    return Hospital(folder)
