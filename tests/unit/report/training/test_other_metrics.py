"""A report is of the task's metrics: grades by kappa from counts, and an error of which less is better."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pytest

from consilium.errors import ConfigurationError
from consilium.participant.local_only import PairedScores
from consilium.records.gain import SiteGain, check_gain, measure_gain, patient_gains
from consilium.records.model_comparison import paired_difference
from consilium.records.score_bounds import read_scores
from consilium.records.site_status import SiteStatus
from consilium.report import site_combiner
from consilium.report.status.site import describe_site
from consilium.report.training.build import build_report
from consilium.report.training.summary import summarize_study
from consilium.report.training.tables import compare_models
from report.grading import AGES, GRADING, alone, cell, graded, record, task
from report.html import read_text
from report.study import CASES, TRAINING

FINAL = {site: graded(patients - 1, 1, patients) for site, (_, patients) in CASES.items()}
ROUNDS = [{site: graded(patients - 2, 2, patients) for site, (_, patients) in CASES.items()}, FINAL]
LOCAL = {site: graded(1, 1, CASES[site][1]) for site in TRAINING}


def pairs(patients: int, *, better: int) -> Sequence[PairedScores]:
    """Each patient has one grade; the federation's model finds so many more of them."""
    local = [(index % 3, index % 3 if index % 2 else (index + 1) % 3) for index in range(patients)]
    wrong = [index for index, (true, found) in enumerate(local) if true != found][:better]
    return [
        PairedScores(
            f"case {index}",
            f"patient {index}",
            {cell(true, found): 1.0},
            {cell(true, true if index in wrong else found): 1.0},
        )
        for index, (true, found) in enumerate(local)
    ]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_combiner, "get_task", lambda name: task(GRADING))


@cache
def gains() -> Mapping[str, SiteGain]:
    """The same at every hospital; measured once, as thousands of resampled kappas take seconds."""
    gain = measure_gain(pairs(12, better=4), GRADING)
    assert gain is not None
    return dict.fromkeys(TRAINING, gain)


def drawn(folder: Path) -> str:
    made = alone(LOCAL, gains(), FINAL)
    page = build_report(folder, record(GRADING, ROUNDS, FINAL), baselines=made, seconds={}, patients={})
    return read_text(page.read_text(encoding="utf-8"))


def test_hospitals_together_are_the_kappa_of_their_counts_and_not_the_mean_of_kappas(installed: None) -> None:
    summary = summarize_study(record(GRADING, ROUNDS, FINAL), baselines=None, seconds={}).summary
    sums = {
        one.name: sum(scores[one.name] for scores in FINAL.values())
        for one in GRADING.metrics.metrics
        if one.is_count
    }
    assert summary.global_ == GRADING.complete(sums)
    mean = sum(scores["kappa"] for scores in FINAL.values()) / len(FINAL)
    assert summary.global_ is not None
    assert summary.global_["kappa"] != pytest.approx(mean, abs=1e-3)


@pytest.mark.long
def test_the_whole_report_is_of_the_task_s_metrics(tmp_path: Path, installed: None) -> None:
    text = drawn(tmp_path)
    for words in (
        "Federated toy grading",
        "Gain in Kappa over",
        "Higher Kappa and higher Accuracy are better",
    ):
        assert words in text
    assert "no model was trained on, the federation's model reaches" in text
    for word in ("Dice", "HD95", "region", "confusion"):
        assert word not in text.split("How this was made")[0]


@pytest.mark.usefixtures("without_drawings")
def test_a_report_renders_where_the_task_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ConfigurationError("no task is named 'toy'")

    monkeypatch.setattr(site_combiner, "get_task", missing)
    text = drawn(tmp_path)
    assert "can be computed where the task is installed" in text
    assert f"{FINAL['aster']['kappa']:.2f}" in text  # what each hospital reached is in the record


@pytest.mark.long
def test_kappa_is_compared_over_resampled_patients_and_no_patient_has_one() -> None:
    both = pairs(12, better=4)
    gain = measure_gain(both, GRADING)
    assert gain is not None
    kappa = gain.gains["kappa"]
    assert kappa.mean == pytest.approx(gain.federated["kappa"] - gain.local["kappa"])
    assert kappa.low is not None
    assert kappa.high is not None
    assert kappa.low <= kappa.mean <= kappa.high
    assert kappa.low > -0.2  # no patient is graded worse
    assert patient_gains(both, GRADING) == []
    assert check_gain(gain, GRADING, cases=12) == gain


def test_a_kappa_that_a_site_made_up_is_not_believed() -> None:
    gain = gains()["aster"].model_copy(deep=True)
    gain.local["kappa"] = -1.0
    assert check_gain(gain, GRADING, cases=12).local["kappa"] > -1
    assert read_scores({**FINAL["aster"], "kappa": 1.0}, GRADING, final=True, cases=4) == FINAL["aster"]


@pytest.mark.parametrize(
    ("change", "cases", "reported"),
    [
        ({cell(0, 0): 0.5}, 4, "no whole number"),
        ({cell(0, 0): 5}, 4, "lies between 0 and 4"),
        ({cell(0, 0): -1}, 4, "lies between 0 and 4"),
        ({cell(2, 2): 1}, 4, "add up to 5"),
        ({}, 5, "add up to 4, and the scores are of 5 cases"),
        ({}, None, "an unknown number of cases"),
    ],
)
def test_counts_are_whole_bounded_and_of_the_cases_that_the_site_has(
    change: dict[str, float], cases: int | None, reported: str
) -> None:
    with pytest.raises(ValueError, match=reported):
        read_scores({**FINAL["aster"], **change}, GRADING, final=True, cases=cases)


@pytest.mark.long
def test_where_less_is_better_less_is_a_gain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_combiner, "get_task", lambda name: task(AGES))
    years = {"aster": 4.0, "birch": 6.0, "cedar": 5.0, "dahlia": 9.0}
    before = {site: {"error": value + 3} for site, value in years.items()}
    final = {site: {"error": value} for site, value in years.items()}
    of = record(AGES, [before, final], final)
    difference = paired_difference(of, 2, 1)
    assert difference is not None
    assert difference.median == 3.0
    found = {
        site: measure_gain(
            [
                PairedScores(str(index), str(index), {"error": years[site] + 2}, {"error": years[site]})
                for index in range(6)
            ],
            AGES,
        )
        for site in TRAINING
    }
    made = alone(
        {site: {"error": years[site] + 2} for site in TRAINING},
        {site: gain for site, gain in found.items() if gain},
        {site: {"error": value + 1} for site, value in years.items()},
    )
    report = summarize_study(of, baselines=made, seconds={})
    assert report.summary.worst_site == "dahlia"
    assert report.summary.gain == 2.0
    best = [row.model for row in compare_models(report)[0].rows if row.cells["Error"][0].best]
    assert best == ["Federated"]
    text = read_text(build_report(tmp_path, of, baselines=made, seconds={}, patients={}).read_text("utf-8"))
    assert "In Error, against its own model: all 3 hospitals gain: aster 2.0 years (2.0 to 2.0)" in text
    assert "its 5.0 is 2.0 below their own models (7.0)" in text
    assert "reaches 6.0 years in Error" in text
    assert "dahlia has the worst Error: 9.0 years on 4 test cases, 5.0 worse than aster" in text
    assert "Lower Error is better." in text
    assert "Error, years" in text


@pytest.mark.long
def test_a_hospital_s_own_status_is_in_the_task_s_metrics() -> None:
    both = pairs(12, better=4)
    status = SiteStatus(
        job_id="1",
        job="toy_fedavg",
        since=0.0,
        updated=0.0,
        log="log.txt",
        gain=measure_gain(both, GRADING),
        patient_gains=patient_gains(both, GRADING),
        metrics=GRADING.metrics,
    )
    line = next(line for line in describe_site(status) if "federation's model" in line)
    assert line.strip().startswith("Kappa 0.")
    assert "patient" not in line
