"""The readiness check at a site, and that it agrees with the preparation and the training that follow."""

import pytest
from data.hospital import NAMES_2023, Hospital
from learning.tiny import site
from nvflare.apis.dxo import from_shareable
from nvflare.apis.fl_constant import ReturnCode

from consilium.federation.message_names import (
    PREPARE,
    REASON_HEADER,
    SITE_STATE_EVENT,
    TRAIN,
)
from consilium.federation.versions import component_versions

from .answers import answer_of, at_site, check, execute


def test_checking_answers_counts_and_prepares_nothing(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"])
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.can, readiness.reason, readiness.usable_cases) == ("train", None, 3)
    assert readiness.left_out == {"missing_image": 1}
    assert readiness.label_convention == "brats-2018"
    assert readiness.grid is not None
    assert readiness.hardware.cores >= 1
    assert readiness.versions == component_versions()
    answer_of(execute(executor, engine, TRAIN))  # it did not keep anything that training would have to know


@pytest.mark.parametrize("damaged", [False, True])
def test_checking_states_what_a_job_must_offer_and_never_the_budget(executor, engine, tmp_path, damaged):
    demand = {"level": "formal", "epsilon": 7.25, "job_epsilon": 3.0, "min_sites": 2}
    settings = site(tmp_path, ["P1", "P2", "P3"], privacy=demand)
    if damaged:
        settings = settings.model_copy(update={"dataset": tmp_path / "nothing"})
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert readiness.privacy is not None
    assert readiness.privacy.demand.describe() == (
        "formal protection, an epsilon of at most 3 in a job, at least 2 hospitals a round"
    )
    assert "7.25" not in readiness.model_dump_json()


def test_checking_states_no_demand_where_the_hospital_does_not_want_it(executor, engine, tmp_path):
    at_site(engine, site(tmp_path, ["P1", "P2", "P3"], privacy={"level": "formal", "stated": False}))
    assert check(executor, engine).privacy is None


def test_checking_suppresses_counts_below_the_hospital_s_minimum(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"], min_count=5)
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.can, readiness.usable_cases, readiness.grid) == ("train", None, None)
    assert readiness.left_out == {"missing_image": None}


def test_checking_counts_patients_and_not_their_examinations(executor, engine, tmp_path):
    settings = site(tmp_path, [], min_count=3, label_convention="brats-2018")
    hospital = Hospital(settings.dataset)
    for visit in range(4):
        hospital.brats(f"BraTS-GLI-00001-10{visit}", names=NAMES_2023)
        hospital.brats(f"BraTS-GLI-00002-10{visit}", names=NAMES_2023)
        hospital.brats(f"BraTS-GLI-00003-10{visit}", names=NAMES_2023, without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.usable_cases, readiness.grid) == (None, None)
    assert readiness.left_out == {"missing_image": None}
    hospital.brats("BraTS-GLI-00004-100", names=NAMES_2023)
    readiness = check(executor, engine)
    assert (readiness.usable_cases, readiness.usable_patients) == (9, 3)
    assert readiness.left_out == {"missing_image": None}
    assert readiness.grid is not None


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("patients", "settings", "can", "reason"),
    [
        (2, {}, "nothing", "its update would be of fewer than 3 patients"),
        (2, {"role": "evaluates"}, "nothing", "its scores would be of fewer than 3 patients"),
        (6, {}, "nothing", "too few patients a round"),  # 2 steps with one patch
        (3, {"role": "evaluates"}, "evaluate", "as the hospital decided"),
    ],
)
def test_checking_and_preparing_agree_on_few_patients(
    executor, engine, tmp_path, patients, settings, can, reason
):
    names = [f"P{number}" for number in range(patients)]
    at_site(engine, site(tmp_path, names, min_training_patients=3, **settings))
    readiness = check(executor, engine)
    assert readiness.can == can
    assert reason in readiness.reason
    prepared = execute(executor, engine, PREPARE)
    assert (prepared.get_return_code() == ReturnCode.OK) == (can != "nothing")
    if can == "nothing":
        assert prepared.get_header(REASON_HEADER) == readiness.reason


def test_checking_and_training_say_the_same_of_counts_below_the_hospital_s_minimum(
    executor, engine, tmp_path
):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], min_count=2)
    Hospital(settings.dataset).brats("P6", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    _, report = answer_of(execute(executor, engine, TRAIN))
    assert (readiness.can, readiness.usable_cases) == ("train", 5)
    assert (report.train_cases, report.validation_cases) == (3, 2)
    assert readiness.left_out == report.left_out == {"missing_image": None}
    reported = [from_shareable(data).data for event, data in engine.events if event == SITE_STATE_EVENT]
    assert {one["state"] for one in reported} >= {
        "reading labels",
        "checking cases",
        "preparing: preparing cases",
    }
    assert all(one["total"] == 0 for one in reported if one["state"].endswith(("cases", "labels")))


def test_a_site_that_leaves_too_many_cases_out_still_says_which_kinds(executor, engine, tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3"], max_left_out=0.2)
    Hospital(settings.dataset).brats("P4", without=("t1",))
    at_site(engine, settings)
    readiness = check(executor, engine)
    assert (readiness.can, readiness.usable_cases) == ("nothing", 3)
    assert "max_left_out" in readiness.reason
    assert readiness.left_out == {"missing_image": 1}
    refused = execute(executor, engine, PREPARE).get_header(REASON_HEADER)
    assert refused == f"{readiness.reason} (1 missing_image)"


@pytest.mark.parametrize(
    ("patients", "settings", "can", "reason"),
    [
        (["P1"], {}, "evaluate", "one usable labeled patient"),
        (["P1", "P2"], {"role": "evaluates"}, "evaluate", "as the hospital decided"),
        ([], {}, "nothing", "the dataset folder as a whole can't be used"),
    ],
)
def test_checking_says_what_a_site_can_do(executor, engine, tmp_path, patients, settings, can, reason):
    at_site(engine, site(tmp_path, patients, **settings))
    readiness = check(executor, engine)
    assert readiness.can == can
    assert reason in readiness.reason
    assert str(tmp_path) not in readiness.model_dump_json()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("patients", "minimum", "share", "withheld"), [(5, 2, 0.4, False), (3, 2, 0.4, True), (3, 1, 0.0, True)]
)
def test_a_check_finds_that_a_training_would_send_no_score(
    executor, engine, tmp_path, patients, minimum, share, withheld
):
    decided = {"validation_fraction": share, "min_training_patients": minimum}
    at_site(engine, site(tmp_path, [f"P{number}" for number in range(patients)], **decided))
    readiness = check(executor, engine)
    assert readiness.can == "train"
    assert (readiness.score_minimum, readiness.score_setting) == (minimum, "min_training_patients")
    assert readiness.withholds_scores == withheld
    _, report = answer_of(execute(executor, engine, TRAIN))
    assert (not report.validation_cases and not report.test_cases) == withheld
