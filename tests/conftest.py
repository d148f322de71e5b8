"""What holds for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

SITE_FOLDERS = ("cache", "site_state", "arrivals")
"""What a site makes in the folder that it runs in, where its settings name no other."""


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_checkout() -> Iterator[None]:
    """Fail the test that has a site work in the checkout: its memory of patients would be committed."""
    before = {name for name in SITE_FOLDERS if Path(name).exists()}
    yield
    left = [name for name in SITE_FOLDERS if Path(name).exists() and name not in before]
    assert left == [], "give the site of this test folders of its own"
