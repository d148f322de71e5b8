"""What the operator is told to do about each kind of absence."""

import pytest

from consilium.errors import AbsenceCode
from consilium.records.remedies import TASKS_AFTER_ROUNDS, remedy_for


@pytest.mark.parametrize("code", AbsenceCode)
def test_each_kind_has_a_next_step_that_fits_into_a_sentence(code: AbsenceCode) -> None:
    remedy = remedy_for(code)
    assert remedy
    assert not remedy.endswith(".")


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (AbsenceCode.VERSIONS, "check-site KIT"),
        (AbsenceCode.DATASET, "dataset"),
        (AbsenceCode.NO_LABELED_CASE, "consilium check DATASET"),
        (AbsenceCode.LEFT_OUT, "max_left_out"),
        (AbsenceCode.UPDATE, "next round"),
        (AbsenceCode.LOST, "start.sh"),
        (AbsenceCode.LATE, "deadline_minutes"),
        (AbsenceCode.FAILED, "consilium status --site KIT"),
        (None, "consilium status --site KIT"),
    ],
)
def test_it_is_the_one_that_helps(code: AbsenceCode | None, remedy: str) -> None:
    assert remedy in remedy_for(code)


@pytest.mark.parametrize("task", sorted(TASKS_AFTER_ROUNDS))
@pytest.mark.parametrize("code", AbsenceCode)
def test_after_the_last_round_none_promises_another_one(code: AbsenceCode, task: str) -> None:
    remedy = remedy_for(code, task)
    assert "next round" not in remedy
    assert "is taken in again" not in remedy


def test_an_absence_that_the_same_task_meets_again_is_known() -> None:
    assert AbsenceCode.REPEATED_UPDATE.lasts
    assert not AbsenceCode.LOST.lasts
    assert not AbsenceCode.DECLINED.lasts  # a site that says no more may be back
