from pathlib import Path

import refusals

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_lists_all_codes_with_their_remedies():
    assert (DOCS / "refusals.md").read_text() == refusals.page(), "run `make rights`"
