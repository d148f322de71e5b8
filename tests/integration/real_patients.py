"""Where the real patients of integration tests are, and the marks of tests that need them."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("CONSILIUM_REAL_DATA") or REPOSITORY / "../shared/data/real")

MARKS = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.real_data,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no real patients in {FOLDER}: set CONSILIUM_REAL_DATA to their folder"
    ),
]
