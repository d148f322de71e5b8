"""What the code gives as reasons, with what to do about each."""

import pytest

from consilium.federation.versions import incompatibility
from consilium.report.remedies import remedy_for

OTHER = {"consilium": "9.9.0", "nvflare": "2.8.0"}


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        (incompatibility({"consilium": "0.1.0", "nvflare": "2.9.0"}, OTHER), "check-site KIT"),
        ("the dataset folder as a whole can't be used: it is missing, ...", "dataset"),
        ("no usable labeled case: 3 without a label, 2 left out", "consilium check DATASET"),
        ("more than 50% of the cases would be left out, which the site's max_left_out", "max_left_out"),
        ("its update is refused: conv.weight is not finite", "next round"),
        ("its process or its connection was lost", "start.sh"),
        ("it gave no sign of life for 5 min", "start.sh"),
        ("it had not answered when the round was closed", "deadline_minutes"),
        ("its report can't be read: 2 wrong field(s)", "another version"),
        ("DataError: the reason is in the site's log", "consilium status --site KIT"),
        ("unexpected KeyError: the traceback is in the site's log", "consilium status --site KIT"),
        ("EXECUTION_EXCEPTION", "consilium status --site KIT"),
    ],
)
def test_each_reason_has_a_next_step(reason, remedy):
    assert remedy in remedy_for(reason)
