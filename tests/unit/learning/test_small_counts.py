import pytest

from consilium.learning.small_counts import suppress, total_text


@pytest.mark.parametrize(
    ("minimum", "kept"),
    [
        (1, {"none": 0, "one": 1, "four": 4, "five": 5}),
        (5, {"none": 0, "one": None, "four": None, "five": 5}),
    ],
)
def test_counts_below_the_site_s_minimum_do_not_leave_it(minimum, kept):
    assert suppress({"none": 0, "one": 1, "four": 4, "five": 5}, minimum) == kept


@pytest.mark.parametrize(
    ("counts", "text"),
    [({}, "0"), ({"a": 1, "b": 2}, "3"), ({"a": None}, "few"), ({"a": 7, "b": None}, "7 or more")],
)
def test_a_sum_gives_no_count_away_that_did_not_leave(counts, text):
    assert total_text(counts) == text
