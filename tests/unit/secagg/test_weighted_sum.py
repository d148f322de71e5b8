import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.errors import TrainingError
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.feedback import ErrorFeedback
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.sum_plan import SumPlan
from consilium.secagg.weighted_sum import MaskedSum, mask_vector

MODEL = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.float32(1).reshape(())}


def plan(**changes):
    rules = {"bits": 32, "sites": 8, "bound": 1.0, "norm": 4.0, "full_weight_cases": 40, "training": "0" * 64}
    return SumPlan(**{**rules, **changes})


def seeds_of(sites):
    """The seeds of each site, as the protocol would give them, and those that open the sum."""
    random = np.random.default_rng(sites)
    pairs = {(i, j): random.bytes(32) for i in range(sites) for j in range(i + 1, sites)}
    own = [random.bytes(32) for _ in range(sites)]
    given_ = [
        [
            MaskSeed(own[site], 1),
            *(
                MaskSeed(seed, 1 if site == low else -1)
                for (low, high), seed in pairs.items()
                if site in (low, high)
            ),
        ]
        for site in range(sites)
    ]
    return given_, [MaskSeed(seed, -1) for seed in own]


def send(vector, cases, seeds, rules=None, received=MODEL, **options):
    return mask_vector(
        vector, cases=cases, received=received, plan=rules or plan(), seeds=seeds, round_index=0, **options
    )


def vectors(sites, scale=0.2):
    random = np.random.default_rng(1)
    return [
        {name: random.normal(0, scale, np.shape(value)).astype(np.float32) for name, value in MODEL.items()}
        for _ in range(sites)
    ]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=8), st.sampled_from([16, 32]))
def test_the_opened_sum_is_the_weighted_mean(cases, bits):
    rules, (seeds, opening) = plan(bits=bits), seeds_of(len(cases))
    updates, total = vectors(len(cases)), MaskedSum(plan(bits=bits), MODEL)
    for update, count, one in zip(updates, cases, seeds, strict=True):
        masked = send(update, count, one, rules)
        total.add(masked.tensors, masked.counts)
    counted = [min(count, 40) for count in cases]
    mean = total.open(opening)
    weight = sum(counted) / 40
    for name in MODEL:
        exact = sum(
            count * update[name].astype(float) for count, update in zip(counted, updates, strict=True)
        )
        slack = len(cases) * rules.code.step / weight + 1e-6
        np.testing.assert_allclose(mean[name], exact / sum(counted), atol=slack)
        assert mean[name].shape == MODEL[name].shape


def test_a_long_update_is_scaled_down_by_its_own_site():
    seeds, opening = seeds_of(1)
    update = {"w": np.full((2, 3), 0.9, np.float32), "b": np.float32(0.0).reshape(())}
    rules = plan(norm=0.5)
    masked = send(update, 40, seeds[0], rules)
    total = MaskedSum(rules, MODEL)
    total.add(masked.tensors, masked.counts)
    mean = total.open(opening)
    assert math.sqrt(sum(float(np.sum(value**2)) for value in mean.values())) == pytest.approx(0.5, rel=1e-6)


def test_clipped_values_are_counted_in_the_sum_only():
    seeds, opening = seeds_of(3)
    total = MaskedSum(plan(), MODEL)
    for site, one in enumerate(seeds):
        update = {"w": np.full((2, 3), 1.1 if site else 0.1, np.float32), "b": np.float32(0.0).reshape(())}
        masked = send(update, 40, one)
        total.add(masked.tensors, masked.counts)
    total.open(opening)
    assert total.clipped == 12


def test_a_site_with_another_model_opens_no_sum():
    """The others' updates don't cancel against its own: nothing of it is left in the clear."""
    seeds, opening = seeds_of(3)
    total = MaskedSum(plan(), MODEL)
    for site, one in enumerate(seeds):
        received = MODEL if site else {**MODEL, "w": MODEL["w"] + np.float32(1e-6)}
        masked = send(vectors(3)[site], 40, one, received=received)
        total.add(masked.tensors, masked.counts)
    with pytest.raises(SecAggFailure, match="another model"):
        total.open(opening)


@pytest.mark.parametrize("change", [{"bound": 2.0}, {"norm": 5.0}, {"full_weight_cases": 41}, {"sites": 9}])
def test_a_site_with_other_rules_opens_no_sum(change):
    seeds, opening = seeds_of(3)
    total = MaskedSum(plan(), MODEL)
    for site, one in enumerate(seeds):
        masked = send(vectors(3)[site], 40, one, plan(**({} if site else change)))
        total.add(masked.tensors, masked.counts)
    with pytest.raises(SecAggFailure, match="other rules"):
        total.open(opening)


def test_a_sum_that_no_honest_sites_can_have_is_refused():
    seeds, opening = seeds_of(1)
    total = MaskedSum(plan(norm=0.1), MODEL)
    masked = send({"w": np.ones((2, 3)), "b": np.zeros(())}, 40, seeds[0], plan(norm=0.1))
    masked.tensors["w"] += np.uint32(2**27)  # a site that did not clip
    total.add(masked.tensors, masked.counts)
    with pytest.raises(SecAggFailure, match="clips its own"):
        total.open(opening)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("b"),
        lambda tensors: tensors.update(other=np.zeros(1, np.uint32)),
        lambda tensors: tensors.update(w=np.zeros((3, 2), np.uint32)),
        lambda tensors: tensors.update(w=np.zeros((2, 3), np.uint16)),
        lambda tensors: tensors.update(w=np.zeros((2, 3), np.float32)),
    ],
)
def test_a_vector_of_another_form_leaves_the_sum_as_it_was(change):
    seeds, opening = seeds_of(1)
    total, masked = MaskedSum(plan(), MODEL), send(vectors(1)[0], 40, seeds[0])
    wrong = dict(masked.tensors)
    change(wrong)
    with pytest.raises(SecAggRefusal, match="a masked vector has"):
        total.add(wrong, masked.counts)
    with pytest.raises(SecAggRefusal, match="a masked vector has"):
        total.add(masked.tensors, masked.counts[:1])
    total.add(masked.tensors, masked.counts)
    np.testing.assert_allclose(total.open(opening)["w"], vectors(1)[0]["w"], atol=1e-6)


def test_the_ring_takes_no_more_vectors_than_it_has_room_for():
    seeds, _ = seeds_of(3)
    total = MaskedSum(plan(sites=2), MODEL)
    for one in seeds[:2]:
        masked = send(vectors(1)[0], 40, one, plan(sites=2))
        total.add(masked.tensors, masked.counts)
    with pytest.raises(SecAggRefusal, match="room for 2 vectors"):
        total.add(masked.tensors, masked.counts)


def test_an_update_that_is_not_finite_is_not_sent():
    seeds, _ = seeds_of(1)
    with pytest.raises(TrainingError, match="not finite"):
        send({"w": np.full((2, 3), math.nan), "b": np.zeros(())}, 40, seeds[0])


def test_with_feedback_many_rounds_of_the_small_ring_lose_nothing():
    rules, feedback, sent = plan(bits=16, bound=0.5), ErrorFeedback(), 0.0
    update = {"w": np.full((2, 3), 0.00031, np.float32), "b": np.zeros((), np.float32)}
    for round_index in range(40):
        seeds, opening = seeds_of(1)
        masked = mask_vector(
            update,
            cases=20,
            received=MODEL,
            plan=rules,
            seeds=seeds[0],
            round_index=round_index,
            feedback=feedback,
        )
        total = MaskedSum(rules, MODEL)
        total.add(masked.tensors, masked.counts)
        sent = sent + total.open(opening)["w"]
    np.testing.assert_allclose(sent, 40 * 0.00031, atol=2.1 * 2 * rules.code.step)
