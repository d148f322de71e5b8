"""Whom a site trains on, and whom it answers about."""

from types import SimpleNamespace

import pytest

from consilium.participant.patient_selection import select_cases
from consilium.participant.register_files import open_register
from participant.register import visits

MEANS, COUNTS = (
    SimpleNamespace(
        evaluation=SimpleNamespace(metrics=SimpleNamespace(has_counts=counts, minimum_setting=setting))
    )
    for counts, setting in ((False, "min_training_patients"), (True, "min_count"))
)


@pytest.fixture
def scored(site):
    evaluating = site.model_copy(update={"role": "evaluates"})

    def scored(patients, task):
        with open_register(evaluating) as register:
            selected = select_cases(register, evaluating, visits(patients), task)
        assert selected.train == ()
        return len(selected.evaluated)

    return scored


def test_scores_with_counts_are_of_more_patients(scored):
    assert scored("ABC", MEANS) == 3
    assert scored("ABCD", COUNTS) == 0


def test_a_patient_is_not_the_difference_of_two_tasks_on_one_dataset(scored):
    assert scored("ABCD", MEANS) == 4
    assert scored("ABCDE", COUNTS) == 0


def test_nor_where_the_counts_come_first(scored):
    assert scored("ABCDE", COUNTS) == 5
    assert scored("ABCDEF", MEANS) == 0
