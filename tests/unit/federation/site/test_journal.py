import json
from pathlib import Path

import pytest
from nvflare.apis.shareable import Shareable
from nvflare.app_common.app_constant import AppConstants

from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.federation.monitoring.job_outcomes import announce_outcome
from consilium.federation.site.journal import SiteJournal
from consilium.participant.site_data import SiteData
from consilium.participant.site_settings import SiteSettings
from consilium.records.site_status import read_site_status
from consilium.report.status.site import describe_site
from federation.flare import JOB_ID, JOB_NAME, Engine


@pytest.fixture
def engine(tmp_path):
    return Engine(tmp_path)


@pytest.fixture
def journal(engine):
    journal = SiteJournal()
    journal.begin(engine.context)
    return journal


def task(index, rounds):
    shareable = Shareable()
    shareable.set_header(AppConstants.CURRENT_ROUND, index)
    shareable.set_header(AppConstants.NUM_ROUNDS, rounds)
    return shareable


def kept(engine):
    (status,) = read_site_status(Path(engine.workspace.get_root_dir()))
    return status


def text(engine):
    return "\n".join(describe_site(kept(engine)))


def test_the_hospital_sees_the_round_its_cases_and_what_it_waits_for(engine, journal):
    problems = tuple(
        Finding(case_id=f"patient-{number}", code=DataCode.TRUNCATED, detail="cut short")
        for number in range(3)
    )
    site = SiteSettings(dataset=Path("/data"), cache_dir=Path("/cache"))
    journal.note_cases(SiteData(tuple(range(30)), tuple(range(8)), problems=problems), site)
    journal.start_task("train", task(2, 10))
    journal.note_training()
    journal.note_state("sent", 0, 0)
    reported = text(engine)
    assert f"{JOB_NAME} {JOB_ID}: round 3 of 10; sent its answer; waiting for the server, since" in reported
    assert "used 38 of 41 cases: 30 to train, 8 to validate" in reported
    assert "3 left out: see /cache/quarantine.json" in reported
    assert "patient-" not in reported
    assert kept(engine).rounds_trained == 1


def test_refusals_of_both_sides_are_kept_with_their_round(engine, journal):
    journal.start_task("train", task(0, 10))
    journal.note_refusal("site", "versions do not fit")
    journal.start_task("train", task(1, 10))
    journal.note_refusal("server", "its update is rejected: it is ten times the others'")
    reported = text(engine)
    assert "this site declined: versions do not fit" in reported
    assert "round 2" in reported
    assert "the server did not use its answer: its update is rejected" in reported


@pytest.mark.parametrize(
    ("kind", "words"), [("success", "ended with success"), ("partial", "partially"), ("failure", "failed")]
)
def test_the_server_s_word_on_the_outcome_is_kept(engine, journal, kind, words):
    announce_outcome(engine.context, kind)
    journal.end()
    assert kept(engine).outcome == kind
    assert words in text(engine)


def test_an_end_of_which_the_server_said_nothing_is_reported_as_such(engine, journal):
    journal.start_task("train", task(1, 10))
    journal.note_state("training", 12, 40)
    journal.end()
    assert kept(engine).stopped
    reported = text(engine)
    assert "round 2 of 10; this site's part ended while training 12 of 40: the site was stopped" in reported
    assert "before the server said how it ended" in reported
    assert "this site trained in no round" in reported
    assert "takes part again once it is started" in reported


def test_a_readiness_check_is_no_training(engine, journal):
    journal.start_task("check", task(None, None))
    journal.note_state("checked", 0, 0)
    announce_outcome(engine.context, "success")
    journal.end()
    assert "the job ended with success" in text(engine)
    assert "this site answered the readiness check" in text(engine)
    assert "round" not in text(engine)


def test_a_restarted_process_continues_the_record(engine, journal):
    journal.note_training()
    journal.note_refusal("site", "aborted")
    SiteJournal().begin(engine.context)
    status = kept(engine)
    assert (status.rounds_trained, [one.reason for one in status.refusals]) == (1, ["aborted"])


def test_a_process_that_was_killed_is_reported_as_gone(engine, journal, tmp_path):
    assert not kept(engine).lost
    (file,) = (tmp_path / "consilium/jobs").iterdir()
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"process_started": content["process_started"] - 3600}))
    assert kept(engine).lost
    assert "its process is gone" in text(engine)
