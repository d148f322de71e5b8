import pytest

from consilium.counts import total_text


@pytest.mark.parametrize(
    ("counts", "text"),
    [({}, "0"), ({"a": 1, "b": 2}, "3"), ({"a": None}, "few"), ({"a": 7, "b": None}, "7 or more")],
)
def test_a_sum_gives_no_count_away_that_did_not_leave(counts, text):
    assert total_text(counts) == text
