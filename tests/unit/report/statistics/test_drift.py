import re

import pytest

from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.report.statistics.drift import assess_drift
from consilium.settings import parse_changes

from .records import record

SITES = {"north": 12, "south": 12, "west": 12}


def apart(north):
    """Hospitals whose T2 intensities all lie at 0.1, but for those of north."""
    return assess_drift(
        record(SITES, {"intensity_t2": {site: [0.1] * 12 for site in SITES} | {"north": north}})
    )


@pytest.mark.parametrize(
    ("north", "level"),
    [
        ([0.1] * 12, "none"),
        ([0.1] * 9 + [0.3] * 3, "none"),
        ([0.1] * 4 + [0.3] * 8, "moderate"),
        ([0.7] * 12, "large"),
    ],
)
def test_the_farthest_hospital_decides(north, level):
    assert apart(north).level == level


def test_the_hospital_and_its_modality_are_named():
    drift = apart([0.7] * 12)
    assert drift.findings[0].startswith(
        "Images look as if from another scanner than all others' at north (T2 by 0.60)"
    )


def test_without_two_hospitals_nothing_is_said():
    drift = assess_drift(record({"north": 12}))
    assert drift.level == "unknown"
    assert drift.findings == ()


def test_other_patients_are_reported_with_direction_and_size():
    values = {
        "volume_wt": {"north": [152.5] * 12, "south": [52.5] * 12, "west": [52.5] * 12},
        "absence_et": {"north": [1.0] * 6 + [0.0] * 6, "south": [0.0] * 12, "west": [0.0] * 12},
    }
    findings = assess_drift(record(SITES, values)).findings
    assert any(
        "Whole tumor is larger at north than elsewhere, by 100 mL on average" in one for one in findings
    )
    assert any(
        "At north more patients have no enhancing tumor, by 50 in a hundred" in one for one in findings
    )


def test_advice_names_jobs_that_exist_and_settings_that_they_have():
    advice = " ".join(sentence for north in (0.1, 0.25, 0.7) for sentence in apart([north] * 12).advice)
    assert set(re.findall(r"brain_tumor_\w+", advice)) == {"brain_tumor_fedavg"} <= CATALOG.keys()
    (command,) = re.findall(r"`consilium jobs export ([^`]+)`", advice)
    name, *words = command.split()
    usual = build_recipe(name).settings
    changed = build_recipe(name, parse_changes([word for word in words if word != "--set"])).settings
    assert changed.rounds == 2 * usual.rounds
    assert 2 * changed.learning.local_steps == usual.learning.local_steps


def test_for_a_task_without_limits_distances_are_kept_and_nothing_is_concluded():
    one = record(SITES, {"intensity_t2": {site: [0.1] * 12 for site in SITES} | {"north": [0.7] * 12}})
    one.drift, one.task = None, "chest_ct"
    drift = assess_drift(one)
    assert drift.level == "unmeasured"
    assert drift.distances["intensity_t2"]["north"].value == pytest.approx(0.6, abs=0.01)
    assert not any("scanner" in finding for finding in drift.findings)
    assert "is not known for this task" in drift.advice[0]
    assert "chest_ct_fedavg" in drift.advice[0]
