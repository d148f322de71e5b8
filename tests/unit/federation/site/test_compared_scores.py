"""What the scores of two jobs at one hospital show: nothing about fewer patients than its minimum."""

import numpy as np
import pytest
from learning.tiny import LEARNING

from consilium.errors import ConfigurationError, SiteRefusal
from consilium.participant.site_data import prepare_site
from consilium.tasks import parse_learning

from .compared_jobs import CHANGES, MINIMUM, PATIENTS, add, add_two, evaluated, isolated, prepared, write

TWO = ("train", "validation")


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("change", CHANGES)
def test_scores_of_two_jobs_can_t_be_subtracted(hospital, change):
    before = evaluated(hospital)
    assert len(before) == 6
    change(hospital)
    after = evaluated(hospital)
    assert isolated(before, after) <= {0, *range(MINIMUM, 13)}
    assert len(after) in (3, 6)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_sides(hospital, change):
    before = {case.patient for case in prepared(hospital).train}
    change(hospital)
    data = prepared(hospital)
    assert not before & {case.patient for case in data.validation}
    assert not {case.patient for case in data.train} & {*PATIENTS} - before


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    "job",
    [
        {"seed": 1},
        {"seed": 2**31 - 1},
        {"spacing_mm": 2.0},
        {"spacing_mm": 8.0},
        {"network": "segresnet"},
        {"batch_size": 4},
        {"local_steps": None, "local_epochs": 3.0},
        {"foreground_share": 1.0},
    ],
)
def test_no_setting_of_a_job_moves_the_border(hospital, job):
    data, other = prepared(hospital), prepared(hospital, **job)
    for side in ("train", "validation"):
        assert [case.id for case in getattr(data, side)] == [case.id for case in getattr(other, side)]


@pytest.mark.parametrize("name", ["validation_fraction", "split_salt", "min_count", "min_training_patients"])
def test_a_job_that_names_a_border_is_rejected(name):
    with pytest.raises(ConfigurationError, match=f"{name}: no such setting"):
        parse_learning({"task": "brain_tumor", name: 0.34}, source="job")


def test_no_two_jobs_draw_the_same_patches(hospital):
    """Two that differ by a step would otherwise train on the same patches but for one of them."""
    own = hospital.model_copy(update={"split_salt": None})

    def draw(run="a job", **job):
        return prepare_site(own, LEARNING.model_copy(update={"local_steps": 6, **job}), run=run).draw_seed

    first = draw()
    assert first == draw()  # a round that is repeated after a crash is the same round
    changed = [draw(local_steps=7), draw(seed=9), draw(learning_rate=0.1), draw("another job")]
    add(hospital)
    add_two(hospital)
    changed.append(draw())
    assert len({first, *changed}) == 6


def test_newcomers_are_evaluated_on_together(hospital):
    before, sizes = evaluated(hospital), []
    for number in range(10):
        write(hospital, f"BraTS-GLI-{number + 500:05}-100")
        sizes.append(len(evaluated(hospital)))
    assert sizes == sorted(sizes)
    assert set(np.diff([len(before), *sizes])) <= {0, *range(MINIMUM, 2 * MINIMUM)}
    assert sizes[-1] > len(before)


@pytest.mark.long
def test_a_hospital_that_changes_its_role_is_compared_as_well(hospital):
    alone = hospital.model_copy(update={"role": "evaluates"})
    before = evaluated(alone)
    assert len(before) == len(PATIENTS)
    during = evaluated(hospital)
    add(hospital)
    after = evaluated(hospital)
    for first, second in ((before, during), (during, after), (before, after)):
        assert isolated(first, second) <= {0, *range(MINIMUM, 13)}
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):  # none but those of a set
        evaluated(alone)


def sides(settings):
    data = prepared(settings)
    return {case.id: side for side in ("train", "validation") for case in getattr(data, side)}


@pytest.mark.long
def test_cases_of_both_sides_that_are_declared_one_patient_are_trained_on(hospital, tmp_path):
    before = sides(hospital)
    trained, validated = (min(case for case in before if before[case] == side) for side in TWO)
    file = tmp_path / "patients.csv"
    file.write_text(f"case,patient\n{trained},one person\n{validated},one person\n")
    declared = hospital.model_copy(update={"patients_file": file})
    data = prepared(declared)
    assert [case.id for case in data.train if case.patient == "one person"] == sorted([trained, validated])
    assert not {case.patient for case in data.train} & {case.patient for case in data.validation}
    after = sides(declared)
    # The group that was scored with it waits; everybody else stays where they were.
    assert {case for case in after if after[case] == "validation"} < {
        case for case in before if before[case] == "validation"
    }
    assert all(after[case] == "train" for case in before if before[case] == "train")
    assert sides(hospital)[validated] == "train"  # also when the hospital takes it back
