"""A hospital that lies in every answer, over TLS, in a federation of its own: it costs the others nothing.

The same federation is asked the same twice, before and after a patient comes: the answers do not differ.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from consilium.federation.message_names import REPORT_META
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout
from waiting import wait_until

from ..conftest import COHORT
from ..studies import export, read_json, run
from .conftest import finish
from .federation import LEAD, SERVER_NAME, SITES, Federation, free_port, provision
from .network import Network

pytestmark = pytest.mark.integration

LIAR, GROWING = "south", "clinic"
HONEST = sorted({*SITES} - {LIAR})
IMPOSSIBLE = {"rounds": 3, "min_sites": 1, "screening.max_refusals": 2}
PLAUSIBLE = {"rounds": 4, "rollback_margin": 1e-6}
"""Changes to the settings of the jobs with lies that can't be true, and with lies that could be."""

CONSILIUM = str(Path(sys.executable).with_name("consilium"))


@dataclass(frozen=True)
class Lied:
    """What the lead has of the federation with a liar.

    Args:
        result: The downloaded result of the job with impossible lies.
        status: What `consilium status` printed about it.
        reported: What `consilium report` printed about it.
        page: Folder of the report.
        log: The server's.
        plausible: The record of the job with plausible lies.
        answers: Of two statistics jobs, the second after a patient has come to the hospital that grows.
        described: How many patients that hospital had looked at, after each.
    """

    result: Path
    status: tuple[int, str, str]
    reported: tuple[int, str, str]
    page: Path
    log: str
    plausible: dict
    answers: list[dict]
    described: list[int]


@pytest.fixture(scope="module")
def lied(hospitals, tmp_path_factory):
    assert REPORT_META == "consilium.report"  # as lies/sitecustomize.py has it
    root = tmp_path_factory.mktemp("lies")
    network = Network(SITES, free_port(), isolated=False)
    datasets = {**{site: hospitals[site] for site in SITES}, GROWING: _of_seven_patients(root / "archives")}
    waiting = _take_one_away(datasets[GROWING], root / "waiting")
    kits, _ = provision(
        root / "project", datasets, network.address["server"], network.port, edit=_two_patients_in_each_set
    )
    federation = Federation(kits, network, root)
    try:
        for participant in (SERVER_NAME, *HONEST):
            federation.start(participant)
        kind = root / "kind.txt"
        kind.write_text("impossible")
        lies = {"CONSILIUM_LIES": str(kind), "PYTHONPATH": str(Path(__file__).with_name("lies"))}
        federation.start(LIAR, environment=lies)
        wait_until(lambda: "Server started" in federation.log_of(SERVER_NAME), "the server started")
        with federation.session(LEAD) as session:
            wait_until(lambda: federation.connected(session) == set(SITES), "all sites connected")

            def ask(job):
                job_id = session.submit_job(str(job))
                finish(session, job_id)
                return Path(session.download_job_result(job_id))

            result = ask(export(root / "impossible", IMPOSSIBLE))
            kind.write_text("plausible")
            plausible = _read(ask(export(root / "plausible", PLAUSIBLE)), "federation.json")
            statistics = export_job(build_recipe("brain_tumor_stats", {"min_count": 1}), root / "statistics")
            answers, described = [], []
            for _ in range(2):
                answers.append(_read(ask(statistics), "statistics.json"))
                described.append(len([*(kits[GROWING] / "cache/statistics").iterdir()]))
                if waiting.exists():
                    waiting.rename(datasets[GROWING] / waiting.name)
        status = run([CONSILIUM, "status", "--kit", str(kits[LEAD]), result.name])
        reported = run([CONSILIUM, "report", str(result), "--out", str(root / "report")])
        log = federation.log_of(SERVER_NAME)
    finally:
        federation.stop()
    return Lied(result, status, reported, root / "report", log, plausible, answers, described)


def _of_seven_patients(folder):
    spec = CohortSpec(
        hospitals=(HospitalSpec(name=GROWING, layout=CaseLayout.BRATS_2023, cases=7),), grid=COHORT.grid
    )
    return make_cohort(spec, folder).hospitals[GROWING]


def _take_one_away(dataset, waiting):
    waiting.mkdir()
    latest = sorted(path for path in dataset.iterdir() if path.is_dir())[-1]
    return latest.rename(waiting / latest.name)


def _two_patients_in_each_set(project):
    (growing,) = (one for one in project["participants"] if one["name"] == GROWING)
    growing["consilium"] |= {
        "role": "trains", "min_count": 2, "validation_fraction": 1 / 3, "test_fraction": 1 / 3
    }  # fmt: skip


def _read(result, name):
    return read_json(next(result.rglob(name)))


@pytest.fixture(scope="module")
def record(lied):
    return _read(lied.result, "federation.json")


def test_its_answers_are_rejected_with_the_reason_and_it_is_excluded(record):
    first, second, third = (one["sites"][LIAR] for one in record["rounds"])
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("refused", "refused", "excluded")
    assert "wrong is train_cases" in first["reason"]
    assert "its scores can't be used" in second["reason"]
    assert record["final_sites"][LIAR]["outcome"] == "refused"
    assert "versions" in record["final_sites"][LIAR]["reason"]


def test_the_others_rounds_count(record):
    assert record["status"] == "finished"
    assert [one["attempts"] for one in record["rounds"]] == [1, 1, 1]
    weights = [sum(one["sites"][site]["weight"] for site in HONEST) for one in record["rounds"]]
    assert weights == pytest.approx([1.0, 1.0, 1.0])
    assert set(record["final_scores"]) == set(HONEST)
    assert all(0 <= one["dice"] <= 1 for one in record["final_scores"].values())


def test_nothing_that_it_made_up_reaches_a_record_a_page_or_a_terminal(lied, record):
    assert record["preparation"][LIAR]["report"]["left_out"] == {"other": 2}
    assert lied.reported[0] == 1, lied.reported  # partial
    page = (lied.page / "index.html").read_text()
    assert LIAR in page
    printed = [*map(str, lied.status), *map(str, lied.reported), lied.log, page]
    printed += [path.read_text() for path in lied.result.rglob("*.json")]
    traces = ("\x1b", r"\x1b", r"\u001b", "forged")  # without the backslash, a picture's letters may hold it
    assert [trace for trace in traces if any(trace in text for text in printed)] == []


def _scores(record):
    """Round to site to its Dice on validation patients of the round's model; 0 is the initial model's."""
    scores = {0: record["initial_scores"]}
    scores |= {one["number"]: one["scores"] for one in record["rounds"]}
    return {
        number: {site: one["dice"] for site, one in by_site.items()} for number, by_site in scores.items()
    }


def test_scores_that_could_be_true_choose_no_model_against_the_other_two(lied):
    """Its first models are perfect and all later ones worthless; the best is the median's all the same."""
    record, scores = lied.plausible, _scores(lied.plausible)
    assert [one["sites"][LIAR]["outcome"] for one in record["rounds"]] == ["trained"] * PLAUSIBLE["rounds"]
    said = [scores[number][LIAR] for number in sorted(scores)]
    # That of the first round is scored again, and worthless by then, if a rollback restores it.
    assert (said[0], said[2:]) == (1.0, [0.0, 0.0, 0.0])
    assert said[1] in (0.0, 1.0)
    best, kept = None, [one["number"] for one in record["rounds"] if one["rolled_back"] is None]
    for number in kept:
        if best is None or median(scores[number][site] - scores[best][site] for site in SITES) > 0:
            best = number
    assert record["best_round"] == best


def test_scores_that_could_be_true_drop_no_round_that_the_other_two_keep(lied):
    record, scores = lied.plausible, _scores(lied.plausible)
    kept = 0
    for one in record["rounds"]:
        fell = [site for site in HONEST if scores[one["number"]][site] < scores[kept][site]]
        assert one["rolled_back"] is None or fell, one["number"]
        kept = one["number"] if one["rolled_back"] is None else kept


def test_two_statistics_jobs_do_not_give_away_the_patient_who_came_in_between(lied):
    before, after = (json.dumps(one["features"], sort_keys=True) for one in lied.answers)
    assert before == after
    first, second = (one["sites"][GROWING] for one in lied.answers)
    assert first == second
    assert first["patients"] == 6
    assert lied.described == [6, 7]
