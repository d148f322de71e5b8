import math

import pytest

from consilium.privacy.mechanism import SampledGaussian
from consilium.privacy.promise import PrivacyLevel, PrivacyPlan, PrivacyPromise


@pytest.mark.parametrize(
    ("epsilon", "level"),
    [
        (None, "none"),
        (0.1, "formal"),
        (10.0, "formal"),
        (10.1, "reconstruction"),
        (10_000.0, "reconstruction"),
        (10_001.0, "none"),
        (math.inf, "none"),
        (math.nan, "none"),
    ],
)
def test_a_job_can_not_call_a_large_epsilon_a_formal_guarantee(epsilon, level):
    assert PrivacyPromise(epsilon=epsilon).level == level


def test_a_level_reaches_itself_and_those_below():
    strongest = [level for level in PrivacyLevel if PrivacyLevel.FORMAL.reaches(level)]
    assert strongest == list(PrivacyLevel)
    assert [level.value for level in PrivacyLevel if PrivacyLevel.RECONSTRUCTION.reaches(level)] == [
        "none",
        "reconstruction",
    ]
    assert [level.value for level in PrivacyLevel if PrivacyLevel.NONE.reaches(level)] == ["none"]


def test_a_plan_over_rounds_has_all_their_steps():
    each = (
        SampledGaussian(noise_multiplier=2, sampling_rate=0.1, steps=40),
        SampledGaussian(noise_multiplier=30),
    )
    plan = PrivacyPlan(each, delta=1e-3)
    assert [one.steps for one in plan.over(5)] == [200, 5]
    assert plan.over(0) == ()
