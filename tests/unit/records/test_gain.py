"""What a hospital gains: the numbers of an honest one, and what no other can claim."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from report.grading import GRADING, GradingEvaluation, cell

from consilium.participant.local_only import PairedScores
from consilium.records.gain import SiteGain, check_gain, patient_gains
from consilium.records.gain import measure_gain as measure
from consilium.records.score_intervals import FEW_AT_A_BOUND
from consilium.tasks import get_task

EVALUATION = get_task("brain_tumor").evaluation
NAMES = list(EVALUATION.metrics.targets)


def scores(dice, hd95=5.0):
    return {**{f"dice_{name}": dice for name in NAMES}, **{f"hd95_{name}": hd95 for name in NAMES}}


def measure_gain(pairs, **options):
    return measure(pairs, EVALUATION, **options)


def pairs(gains, local=0.5):
    return [
        PairedScores(f"case {index}", f"patient {index}", scores(local), scores(local + gain, 3.0))
        for index, gain in enumerate(gains)
    ]


GAINS = [0.1, 0.2, -0.05, 0.15, 0.0, 0.1]


def test_the_gain_is_the_difference_of_the_means_over_the_same_cases():
    gain = measure_gain(pairs(GAINS))
    assert gain.patients == len(GAINS)
    assert gain.gains.keys() == {"dice", *(f"dice_{name}" for name in NAMES)}
    mean = gain.gains["dice"]
    assert mean.mean == pytest.approx(sum(GAINS) / len(GAINS), abs=1e-6)
    assert mean.mean == pytest.approx(gain.federated["dice"] - gain.local["dice"])
    assert min(GAINS) <= mean.low < mean.mean < mean.high <= max(GAINS)
    check_gain(gain, EVALUATION, cases=len(GAINS))


def test_a_hospital_that_loses_has_a_gain_below_zero():
    assert measure_gain(pairs([-gain for gain in GAINS])).gains["dice"].mean < 0


def test_the_interval_of_fewer_patients_than_min_count_stays_at_the_hospital():
    enough = len(GAINS) - FEW_AT_A_BOUND
    withheld = measure_gain(pairs(GAINS), min_count=enough + 1)
    assert all(gain.low is None and gain.high is None for gain in withheld.gains.values())
    assert withheld.gains["dice"].mean == measure_gain(pairs(GAINS)).gains["dice"].mean
    assert measure_gain(pairs(GAINS), min_count=enough).gains["dice"].low is not None


@pytest.mark.parametrize("min_count", [3, 5, 8])
def test_no_bound_that_leaves_is_one_patient_s_value(min_count):
    """The worst patient's part in it: 0.85 at five patients, which is this patient's value."""
    fewest = next(count for count in range(1, 99) if leaves(count, min_count))
    for seed in range(5):
        gains = Random(seed).sample([index / 1000 for index in range(-200, 200)], fewest)
        worse = [gain - 0.02 if gain == min(gains) else gain for gain in gains]
        low, lower = (
            measure_gain(pairs(one), min_count=min_count).gains["dice"].low for one in (gains, worse)
        )
        assert low - lower < 0.6 * 0.02 + 0.001


def leaves(count, min_count):
    gains = [index / 100 for index in range(count)]
    return measure_gain(pairs(gains), min_count=min_count).gains["dice"].low is not None


def test_no_case_is_no_gain():
    assert measure_gain([]) is None


def test_the_bounds_are_no_single_patient_s_value():
    few = [0.111, 0.2, 0.35, 0.47, 0.62]
    gain = measure_gain(pairs(few, local=0.1)).gains["dice"]
    assert few[0] < gain.low < gain.mean < gain.high < few[-1]


def test_patients_own_gains_are_means_over_their_examinations():
    twice = [*pairs([0.1, 0.3]), PairedScores("case 9", "patient 0", scores(0.5), scores(0.8))]
    assert patient_gains(twice, EVALUATION) == pytest.approx([0.2, 0.3])
    assert measure_gain(twice).patients == 2


def test_each_patient_counts_once():
    twice = [*pairs(GAINS), PairedScores("case 9", "patient 0", scores(0.5), scores(0.9))]
    found = measure_gain(twice)
    gain = found.gains["dice"]
    assert gain.mean == pytest.approx((sum(GAINS) - 0.1 + 0.25) / len(GAINS), abs=1e-6)
    assert gain.low < gain.mean < gain.high
    check_gain(found, EVALUATION, cases=len(twice))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 9)), min_size=1, max_size=20))
def test_what_leaves_is_rounded_and_passes_the_server_s_check(found):
    several = [
        PairedScores(f"case {place}", f"patient {patient}", scores(local), scores(federated))
        for place, (local, federated, patient) in enumerate(found)
    ]
    gain = measure_gain(several)
    assert all(
        value == round(value, 6)
        for one in (gain.local, gain.federated)
        for value in (one[f"dice_{name}"] for name in NAMES)
    )
    assert all(one.mean == round(one.mean, 6) for one in gain.gains.values())
    check_gain(gain, EVALUATION, cases=len(several))


def test_it_survives_json():
    gain = measure_gain(pairs(GAINS))
    assert SiteGain.model_validate_json(gain.model_dump_json()) == gain
    assert SiteGain.model_validate(gain.model_dump()) == gain


def lie(change):
    content = measure_gain(pairs(GAINS)).model_dump()
    change(content)
    return content


@pytest.mark.parametrize(
    "change",
    [
        lambda gain: gain["gains"].update(dice={"mean": 0.9, "low": 0.8, "high": 1.0}),
        lambda gain: gain["gains"].pop("dice"),
        lambda gain: gain["gains"].update(accuracy={"mean": 0.1}),
        lambda gain: gain["local"].update(dice_wt=1.5),
        lambda gain: gain["federated"].update(hd95_wt=-1.0),
        lambda gain: gain["local"].pop("dice_wt"),
        lambda gain: gain["federated"].update(dice_kidney=0.5),
        lambda gain: gain.update(local={}, federated={}, gains={}),
        lambda gain: gain.update(patients=7),
        lambda gain: gain["gains"]["dice"].update(mean=2.0, high=3.0),
        lambda gain: gain["gains"]["dice"].update(low=-1.5),
    ],
)
def test_what_does_not_fit_together_is_rejected(change):
    gain = SiteGain.model_validate(lie(change))
    with pytest.raises(ValueError, match=r"scores|gain|more patients|lies between|wider"):
        check_gain(gain, EVALUATION, cases=len(GAINS))


def test_a_gain_without_cases_to_measure_it_on_is_rejected():
    with pytest.raises(ValueError, match="more patients"):
        check_gain(measure_gain(pairs(GAINS)), EVALUATION, cases=None)


@pytest.mark.parametrize(
    "change",
    [
        lambda gain: gain["gains"]["dice"].update(mean=float("nan")),
        lambda gain: gain["gains"]["dice"].update(low=0.9),
        lambda gain: gain["gains"]["dice"].update(low=None),
        lambda gain: gain["gains"].update({"\x1b[2J": gain["gains"]["dice"]}),
        lambda gain: gain.update(patients=0),
        lambda gain: gain.update(patients=10**9),
        lambda gain: gain.update(patient="Doe-Jane"),
        lambda gain: gain["local"].update(dice=float("inf")),
        lambda gain: gain["local"].update({f"s{index}": 0.0 for index in range(1000)}),
    ],
)
def test_what_is_out_of_bounds_is_rejected(change):
    with pytest.raises(ValidationError):
        SiteGain.model_validate(lie(change))


class Grading(GradingEvaluation):
    metrics = GRADING.metrics  # made once: thousands of resamples ask for it


def grades(found):
    """Pairs of patients with these grades: (true, by the local model, by the federation's)."""
    return [
        PairedScores(f"case {index}", f"patient {index}", {cell(true, own): 1.0}, {cell(true, other): 1.0})
        for index, (true, own, other) in enumerate(found)
    ]


@pytest.mark.long
def test_a_gain_in_a_metric_of_all_patients_together_has_an_interval_over_resampled_ones():
    found = [(0, 0, 0), (1, 1, 1), (2, 1, 2), (0, 1, 0), (1, 0, 1), (2, 2, 2), (0, 0, 1), (1, 1, 1)]
    gain = measure(grades(found), Grading()).gains["accuracy"]
    assert gain.mean == pytest.approx(7 / 8 - 5 / 8)
    assert -0.5 <= gain.low < gain.mean < gain.high <= 1
    same = measure(grades([(true, own, own) for true, own, _ in found]), Grading()).gains["accuracy"]
    assert (same.low, same.mean, same.high) == (0, 0, 0)
