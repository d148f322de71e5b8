"""A hospital that lies in every answer, over TLS, in a federation of its own: it costs the others nothing."""

import sys
from pathlib import Path

import pytest

from consilium.federation.tasks import REPORT_META

from ..studies import export, read_json, run
from .conftest import finish
from .federation import LEAD, SERVER_NAME, SITES, Federation, free_port, provision, wait_until
from .network import Network

pytestmark = pytest.mark.integration

LIAR = "south"
HONEST = sorted({*SITES} - {LIAR})
CHANGES = {"rounds": 3, "min_sites": 1, "screening.max_refusals": 2}
CONSILIUM = str(Path(sys.executable).with_name("consilium"))


@pytest.fixture(scope="module")
def lied_to(hospitals, tmp_path_factory):
    """The downloaded result of a job with a liar, and the lines and the page that the lead sees of it."""
    assert REPORT_META == "consilium.report"  # as lies/sitecustomize.py has it
    root = tmp_path_factory.mktemp("lies")
    network = Network(SITES, free_port(), isolated=False)
    datasets = {site: hospitals[site] for site in SITES}
    kits, _ = provision(root / "project", datasets, network.address["server"], network.port)
    federation = Federation(kits, network, root)
    try:
        for participant in (SERVER_NAME, *HONEST):
            federation.start(participant)
        lies = {"CONSILIUM_LIES": "1", "PYTHONPATH": str(Path(__file__).with_name("lies"))}
        federation.start(LIAR, environment=lies)
        wait_until(lambda: "Server started" in federation.log_of(SERVER_NAME), "the server started")
        with federation.session(LEAD) as session:
            wait_until(lambda: federation.connected(session) == set(SITES), "all sites connected")
            job = session.submit_job(str(export(root / "job", CHANGES)))
            finish(session, job)
            result = Path(session.download_job_result(job))
        status = run([CONSILIUM, "status", "--kit", str(kits[LEAD]), job])
        reported = run([CONSILIUM, "report", str(result), "--out", str(root / "report")])
        log = federation.log_of(SERVER_NAME)
    finally:
        federation.stop()
    return result, status, reported, root / "report", log


@pytest.fixture(scope="module")
def record(lied_to):
    result, *_ = lied_to
    return read_json(next(result.rglob("federation.json")))


def test_its_answers_are_refused_with_the_reason_and_it_is_excluded(record):
    first, second, third = (one["sites"][LIAR] for one in record["rounds"])
    assert (first["outcome"], second["outcome"], third["outcome"]) == ("refused", "refused", "excluded")
    assert "wrong is train_cases" in first["reason"]
    assert "its scores can't be used" in second["reason"]
    assert record["final_sites"][LIAR]["outcome"] == "refused"
    assert "versions" in record["final_sites"][LIAR]["reason"]


def test_the_others_rounds_count(record):
    assert record["status"] == "finished"
    assert [one["attempts"] for one in record["rounds"]] == [1, 1, 1]
    assert [one["sites"]["north"]["weight"] for one in record["rounds"]] == [1.0, 1.0, 1.0]
    assert set(record["final_scores"]) == set(HONEST)
    assert all(0 <= one["dice"] <= 1 for one in record["final_scores"].values())


def test_nothing_that_it_made_up_reaches_a_record_a_page_or_a_terminal(lied_to, record):
    result, status, reported, page, log = lied_to
    assert record["preparation"][LIAR]["report"]["left_out"] == {"other": 2}
    assert reported[0] == 1, reported  # partial
    assert LIAR in (page / "index.html").read_text()
    told = [*map(str, status), *map(str, reported), log, (page / "index.html").read_text()]
    told += [path.read_text() for path in result.rglob("*.json")]
    assert not [
        text for text in told if "\x1b" in text or "x1b" in text or "u001b" in text or "forged" in text
    ]
