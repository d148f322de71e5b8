"""What of an answer has to be declared by the job's algorithm."""

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from consilium.federation.exchange.answer_form import RejectedAnswer
from consilium.federation.exchange.declared_parts import check_numbers, read_sets
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.algorithms.base import Declaration
from consilium.learning.weights import MODEL, join_sets
from consilium.records.federation import SiteReport

DRIFT = {"drift": (0.0, 2.0)}
WEIGHTS = {"w": np.ones(3, np.float32)}


def answer(*sets):
    params = join_sets(dict.fromkeys((MODEL, *sets), WEIGHTS))
    return FLModel(params_type=ParamsType.DIFF, params=params)


def report(**numbers):
    return SiteReport(role="trains", train_cases=9, validation_cases=0, numbers=numbers)


def test_declared_sets_are_read_and_another_is_rejected_without_its_name():
    declaration = Declaration(sent=("control",))
    assert read_sets(answer("control"), declaration).keys() == {MODEL, "control"}
    with pytest.raises(RejectedUpdate, match="a set of weights that this job doesn't have") as caught:
        read_sets(answer("secret"), declaration)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("drift", [0.0, 2.0])
def test_a_number_in_its_range_is_accepted(drift):
    check_numbers(report(drift=drift), DRIFT)


@pytest.mark.parametrize("drift", [-0.1, 2.1])
def test_a_number_out_of_its_range_is_rejected(drift):
    with pytest.raises(RejectedAnswer, match="its drift does not lie between 0 and 2"):
        check_numbers(report(drift=drift), DRIFT)


@pytest.mark.parametrize(
    ("numbers", "declared"), [({}, DRIFT), ({"drift": 1.0}, {}), ({"other": 1.0}, DRIFT)]
)
def test_other_numbers_than_declared_are_rejected(numbers, declared):
    with pytest.raises(RejectedAnswer, match="other numbers"):
        check_numbers(report(**numbers), declared)
