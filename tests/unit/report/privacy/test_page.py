"""The three files of the officer's page."""

import json
import re
from dataclasses import replace

import pytest
from anything import NASTY_TEXTS, shows_no_control
from federation.readiness import readiness, site

from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.privacy_facts import facts_of_recipe
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.facts import SiteFacts
from consilium.report.privacy.happened import describe_record
from consilium.report.privacy.page import render_privacy
from consilium.report.privacy.pdf import render_privacy_pdf
from consilium.report.privacy.statement import PrivacyStatement
from consilium.report.privacy.write import write_privacy
from report.html import read_text
from report.statistics.records import record as statistics
from report.study import federation, private_federation, summed_federation

HOSPITAL = SiteFacts(name="north", streams_logs=False)


def page_of(job="brain_tumor_fedavg", decided=HOSPITAL, **changes):
    return state_privacy(facts_of_recipe(build_recipe(job, changes)), decided, version="0.1.0")


def words(html):
    return read_text(re.sub(r"(?s)<style>.*?</style>", "", html))


@pytest.mark.quick_cases(9)
@pytest.mark.parametrize("job", CATALOG)
@pytest.mark.parametrize("decided", [HOSPITAL, SiteFacts()], ids=["kit", "defaults"])
def test_every_entry_of_the_statement_is_on_the_page(job, decided):
    statement = page_of(job, decided)
    html = render_privacy(statement)
    text = words(html).lower()
    for flow in statement.flows:
        assert flow.what.lower() in text
        assert flow.minimum.lower() in text
    for sentence in (*statement.summary, *statement.stays, *statement.not_covered):
        assert sentence.lower() in text
    for section in statement.sections:
        assert section.heading in html
    assert "<script" not in html
    assert not re.search(r"(src|href)=", html)


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("job", CATALOG)
def test_no_page_calls_anything_anonymous_or_gives_advice(job):
    text = words(render_privacy(page_of(job))).lower()
    assert "anonym" not in text
    assert "no legal advice" in text
    assert "complies" not in text
    assert "compliant" not in text


@pytest.mark.usefixtures("without_drawings")
def test_json_is_read_back_as_the_same_statement(tmp_path):
    page = write_privacy(tmp_path / "privacy", page_of())
    assert page.name == "privacy.html"
    assert sorted(one.name for one in page.parent.iterdir()) == [
        "privacy.html",
        "privacy.json",
        "privacy.pdf",
    ]
    content = json.loads((page.parent / "privacy.json").read_text())
    assert PrivacyStatement.model_validate(content) == page_of()
    assert {mode.stat().st_mode & 0o077 for mode in page.parent.iterdir()} == {0}


def test_the_pdf_holds_no_date_and_no_trace_of_this_machine():
    pdf = render_privacy_pdf(page_of())
    assert pdf.startswith(b"%PDF-")
    assert pdf == render_privacy_pdf(page_of())
    assert b"/CreationDate" not in pdf
    assert b"/Producer" not in pdf


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_names_of_others_are_shown_and_never_obeyed(text):
    facts = replace(facts_of_recipe(build_recipe("brain_tumor_fedavg")), name=text)
    statement = state_privacy(facts, replace(HOSPITAL, name=text, filters=(text,)), version="0")
    html = render_privacy(statement)
    assert "<script>" not in html
    assert shows_no_control(statement.model_dump_json())


def test_what_happened_names_the_round_with_the_fewest_updates():
    record = federation(3)
    del record.rounds[1].sites["cedar"]
    said = " ".join(describe_record(record, "aster").sentences)
    assert "3 of 3 rounds counted" in said
    assert "3 hospitals sent updates. The round with the fewest was made of 2 updates" in said
    assert "aster sent an update in 3 rounds." in said
    assert "10 training cases" in said
    assert "cedar sent an update in 2 rounds." in describe_record(record, "cedar").sentences
    assert "dahlia sent an update in 0 rounds." in describe_record(record, "dahlia").sentences


def test_what_happened_calls_no_count_few_that_the_algorithm_withholds():
    said = " ".join(describe_record(private_federation(), "aster").sentences)
    assert "It reported 10 training cases, few test patients behind its scores, and" in said
    assert "validation" not in said


def test_what_happened_counts_sums_and_the_masks_that_were_recovered():
    record = summed_federation(3)
    record.rounds[0].summed.recovered = 2
    said = " ".join(describe_record(record, "aster").sentences)
    assert "Only sums of updates were opened: 3 sums, each of at least 3 hospitals." in said
    assert "2 times, a hospital dropped out after it had sent its keys" in said
    none_lost = " ".join(describe_record(summed_federation(3), "aster").sentences)
    assert "Only sums" in none_lost
    assert "dropped out" not in none_lost
    assert "Only sums" not in " ".join(describe_record(federation(3), "aster").sentences)


def test_what_happened_says_how_noise_hid_the_hospital():
    record = federation(2)
    record.final_sites["aster"].report.hospital_noise = 2.5
    said = " ".join(describe_record(record, "aster").sentences)
    assert "Noise hid the hospital as a whole: 2.5 times the norm" in said
    assert "validation" not in said
    assert "as a whole" not in " ".join(describe_record(record, "cedar").sentences)


def test_what_happened_before_the_first_round_is_said_without_an_update():
    failed = federation(1, status="failed", reason="few", final_scores={}, final_sites={}, best_round=None)
    failed.rounds.clear()
    assert describe_record(failed, None).sentences == ("The job is failed: 0 of 1 round counted.",)


def test_what_happened_in_jobs_that_train_nothing():
    counted = describe_record(statistics({"north": 12}), "north").sentences
    assert counted[1].endswith("over 12 patients; its minimum was 1.")
    checked = readiness(north=site("train", usable_cases=9, usable_patients=8))
    assert describe_record(checked, "north").sentences[1] == "north reported 9 usable cases of 8 patients."
    assert describe_record(checked, "south").sentences[1] == "south sent no answer."
