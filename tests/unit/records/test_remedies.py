"""What the operator should do about each kind of absence."""

import pytest

from consilium.errors import RefusalCode
from consilium.records.remedies import TASKS_AFTER_ROUNDS, remedy_for


@pytest.mark.parametrize("code", RefusalCode)
def test_each_kind_has_a_next_step_that_fits_into_a_sentence(code: RefusalCode) -> None:
    remedy = remedy_for(code)
    assert remedy
    assert not remedy.endswith(".")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (RefusalCode.VERSIONS, "check-site KIT"),
        (RefusalCode.DATASET, "dataset"),
        (RefusalCode.NO_LABELED_CASE, "consilium check DATASET"),
        (RefusalCode.LEFT_OUT, "max_left_out"),
        (RefusalCode.UPDATE, "next round"),
        (RefusalCode.LOST, "start.sh"),
        (RefusalCode.LATE, "deadline_minutes"),
        (RefusalCode.FAILED, "consilium status --site KIT"),
        (None, "consilium status --site KIT"),
    ],
)
def test_it_is_the_one_that_helps(code: RefusalCode | None, remedy: str) -> None:
    assert remedy in remedy_for(code)


@pytest.mark.parametrize("task", sorted(TASKS_AFTER_ROUNDS))
@pytest.mark.parametrize("code", RefusalCode)
def test_after_the_last_round_none_promises_another_one(code: RefusalCode, task: str) -> None:
    remedy = remedy_for(code, task)
    assert "next round" not in remedy
    assert "is taken in again" not in remedy


def test_an_absence_that_the_same_task_meets_again_is_known() -> None:
    assert RefusalCode.REPEATED_UPDATE.lasts
    assert not RefusalCode.LOST.lasts
    assert not RefusalCode.DECLINED.lasts  # a site that says no more may be back
