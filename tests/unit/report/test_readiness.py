import pytest

from consilium.report.readiness import suppress


@pytest.mark.parametrize(
    ("minimum", "kept"),
    [
        (1, {"none": 0, "one": 1, "four": 4, "five": 5}),
        (5, {"none": 0, "one": None, "four": None, "five": 5}),
    ],
)
def test_counts_below_the_site_s_minimum_do_not_leave_it(minimum, kept):
    assert suppress({"none": 0, "one": 1, "four": 4, "five": 5}, minimum) == kept
