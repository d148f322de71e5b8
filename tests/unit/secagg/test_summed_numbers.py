"""Numbers in a sum: means over the sites that have them, whatever these send."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.secagg.errors import SecAggFailure
from consilium.secagg.sum_plan import COUNTS, SumPlan
from consilium.secagg.summed_numbers import NumberCode
from consilium.secagg.weighted_sum import MaskedSum, mask_vector

BOUNDS = {"loss": 100.0, "score_dice": 1.0}
VALUES = st.fixed_dictionaries({}, optional={"loss": st.floats(-100, 100), "score_dice": st.floats(0, 1)})


@given(st.lists(VALUES, min_size=1, max_size=64))
def test_a_sum_has_the_total_and_the_number_of_the_sites_that_sent_one(sites):
    code = NumberCode(BOUNDS, sites=64)
    opened = code.decode(np.sum([code.encode(one) for one in sites], axis=0, dtype="<u4"))
    for name, bound in BOUNDS.items():
        sent = [one[name] for one in sites if name in one]
        assert opened[name].sites == len(sent)
        assert opened[name].total == pytest.approx(sum(sent), abs=64 * bound * 2**-24)


def test_values_beyond_the_bound_are_clipped_and_do_not_wrap():
    code = NumberCode(BOUNDS, sites=2)
    opened = code.decode(code.encode({"loss": 1e12}) + code.encode({"loss": 3.0}))
    assert opened["loss"].total == pytest.approx(103.0, abs=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_number(value):
    with pytest.raises(ValueError, match="loss is not finite"):
        NumberCode(BOUNDS, sites=2).encode({"loss": value})


def test_a_number_that_the_rules_lack_is_refused():
    with pytest.raises(KeyError, match="score_hd95"):
        NumberCode(BOUNDS, sites=2).encode({"score_hd95": 1.0})


def plan(**changes):
    limits = {"bits": 32, "sites": 4, "bound": 1.0, "norm": 10.0, "full_weight_cases": 9}
    return SumPlan.model_validate({**limits, "training": "0" * 64, "numbers": BOUNDS, **changes})


def send(rules, numbers):
    model = {"w": np.zeros(3, np.float32)}
    return mask_vector(
        {}, cases=3, received=model, plan=rules, seeds=[], round_index=0, numbers=numbers
    ), MaskedSum(rules, model, {})


def test_a_sum_without_a_vector_has_its_numbers():
    masked, total = send(plan(), {"loss": 0.5})
    total.add(masked.tensors, masked.counts)
    assert total.open([]) == {}
    assert total.cases == 3
    assert {name: one.sites for name, one in total.numbers.items()} == {"loss": 1, "score_dice": 0}


@pytest.mark.parametrize("place", [0, 1])
def test_a_number_that_no_honest_site_can_have_opens_nothing(place):
    masked, total = send(plan(), {"loss": 0.5})
    masked.counts[COUNTS + place] += np.uint32(2**30)
    total.add(masked.tensors, masked.counts)
    with pytest.raises(SecAggFailure, match="loss in the opened sum"):
        total.open([])


def test_rules_with_other_numbers_are_other_rules():
    assert plan().digest != plan(numbers={}).digest != plan(numbers={"loss": 1.0}).digest
