"""What the page says of hospitals that took no part, and of cases left out."""

from consilium.data.codes import find_code
from consilium.errors import RefusalCode
from consilium.records.federation import SiteRound

from ..study import federation, site_round
from .rendering import Page, rendered

TIMES = "\N{MULTIPLICATION SIGN}"


def test_a_refusal_and_its_reason_head_the_page() -> None:
    record = federation(rounds=1)
    for sites in (record.rounds[0].sites, record.final_sites):
        sites["birch"] = SiteRound(
            outcome="refused",
            reason="no usable labelled case: 3 left out (3 truncated)",
            code=RefusalCode.NO_LABELED_CASE,
            left_out={"truncated": 3, "not_3d": None},
        )
    del record.final_scores["birch"]
    html = rendered(record)
    assert html.index("3 left out (3 truncated)") < html.index("hospital by hospital")
    text = " ".join(Page(html).text.split())
    assert "never reported" not in text
    cases = text[text.index("Why, and what to do") : text.index("What each hospital contributed")]
    assert "No part in the last task: no usable labelled case: 3 left out (3 truncated). `consilium" in cases
    for code, count in (("truncated", "3"), ("not_3d", "few")):
        problem = find_code(code)
        assert f"{count} {TIMES} {problem.summary} ({code}). {problem.remedy}" in cases


def test_the_page_of_a_run_that_ended_for_lack_of_sites() -> None:
    """It has no round and no model, and says of each hospital why."""
    reason = "0 sites can train, and min_sites is 2; birch: too few"
    record = federation(1, status="failed", reason=reason, final_scores={}, final_sites={}, best_round=None)
    record.rounds.clear()
    for site, code in (("birch", RefusalCode.FEW_PATIENTS), ("cedar", RefusalCode.LOST)):
        record.preparation[site] = SiteRound(outcome="refused", reason=f"reason of {site}", code=code)
    record.preparation["aster"] = site_round("aster")
    text = " ".join(Page(rendered(record)).text.split())
    assert reason in text
    for site, remedy in (("birch", "for the hospital to decide"), ("cedar", "startup/start.sh")):
        assert f"{site} is missing from the preparation: reason of {site}. What to do: " in text
        assert f"No part in the last task: reason of {site}." in text
        assert remedy in text


def test_a_number_that_did_not_leave_its_hospital_is_few() -> None:
    record = federation(rounds=1, final_sites={})
    record.rounds[0].sites["cedar"] = site_round("cedar", left_out={"truncated": None, "not_3d": 7})
    text = " ".join(Page(rendered(record)).text.split())
    assert f"7 or more few {TIMES} file incomplete or damaged (truncated)." in text
    assert f"7 {TIMES} wrong number of axes (not_3d)." in text


def test_cases_left_out_come_with_a_remedy() -> None:
    record = federation(rounds=1, final_sites={})
    record.rounds[0].sites["cedar"] = site_round("cedar", left_out={"truncated": 2, "of_another_version": 1})
    text = " ".join(Page(rendered(record)).text.split())
    assert f"2 {TIMES} file incomplete or damaged (truncated). Copy the file from its source again" in text
    other = "Something that this version of consilium has no code for"
    assert f"1 {TIMES} {other}. See the site's own log." in text
    assert "of_another_version" not in text
