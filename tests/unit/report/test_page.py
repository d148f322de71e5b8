import re
from collections.abc import Mapping
from html.parser import HTMLParser

import pytest

from consilium.data.codes import ProblemCode
from consilium.errors import AbsenceCode
from consilium.report.page import page_environment, render_page
from consilium.report.records import BaselineRecord, FederationRecord, SiteRound
from consilium.report.summary import summarize_study

from .study import baselines, federation, scores, site_round

HOSTILE = "<script>alert('aster')</script>"
TIMES = "\N{MULTIPLICATION SIGN}"


class Page(HTMLParser):
    """What a browser would make of a page: its elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(
    record: FederationRecord,
    *,
    baselines: BaselineRecord | None = None,
    patients: Mapping[str, tuple[bytes, float]] | None = None,
) -> str:
    report = summarize_study(record, baselines=baselines, seconds={})
    return render_page(report, curves=b"light", dark_curves=b"dark", patients=patients or {})


@pytest.fixture(scope="module")
def html() -> str:
    return rendered(federation(), baselines=baselines(), patients={"aster": (b"patient", 0.6)})


def test_the_page_needs_nothing_else(html: str) -> None:
    page = Page(html)
    loaded = [
        value
        for _, attributes in page.elements
        for name in ("src", "srcset")
        if (value := attributes.get(name))
    ]
    assert len(loaded) == 3  # the curves, light and dark, and one patient
    assert all(value.startswith("data:image/png;base64,") for value in loaded)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert not re.search(r"https?:|url\(|@import", html)


def test_tables_can_be_read_aloud(html: str) -> None:
    page = Page(html)
    assert len(page.named("table")) == len(page.named("caption")) == 7
    assert all("scope" in heading for heading in page.named("th"))
    assert all(image["alt"] for image in page.named("img"))


def test_the_page_says_what_the_numbers_are_and_are_not(html: str) -> None:
    text = " ".join(Page(html).text.split())
    assert "not for clinical use" in text
    assert "On 14 patient cases of 4 hospitals" in text
    assert "374 mm" in text
    assert "seed 7" in text
    assert "mean Dice of this patient 0.600" in text
    assert "as many steps as a hospital makes in the federation (200)" in text


def test_names_and_reasons_of_others_are_only_text() -> None:
    record = federation(rounds=1)
    record.rounds[0].sites[HOSTILE] = site_round("aster", left_out={'"><img src=x onerror=alert(1)>': 1})
    record.rounds[0].sites["birch"] = SiteRound(outcome="refused", reason="<img src=x onerror=alert(1)>")
    record.final_scores[HOSTILE] = scores(0.5)
    record.settings["note"] = "</style><script>alert(1)</script>"
    page = Page(rendered(record))
    assert HOSTILE in page.text
    assert "round 1: <img src=x onerror=alert(1)>." in page.text
    assert not page.named("script")
    assert all((image["src"] or "").startswith("data:") for image in page.named("img"))


def test_a_refusal_and_its_reason_head_the_page() -> None:
    record = federation(rounds=1)
    for sites in (record.rounds[0].sites, record.final_sites):
        sites["birch"] = SiteRound(
            outcome="refused",
            reason="no usable labelled case: 3 left out (3 truncated)",
            code=AbsenceCode.NO_LABELED_CASE,
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
        problem = ProblemCode(code)
        assert f"{count} {TIMES} {problem.summary} ({code}). {problem.remedy}" in cases


def test_the_page_of_a_run_that_ended_for_lack_of_sites() -> None:
    """It has no round and no model, and says of each hospital why."""
    reason = "0 sites can train, and min_sites is 2; birch: too few"
    record = federation(1, status="failed", reason=reason, final_scores={}, final_sites={}, best_round=None)
    record.rounds.clear()
    for site, code in (("birch", AbsenceCode.FEW_PATIENTS), ("cedar", AbsenceCode.LOST)):
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


@pytest.mark.parametrize(
    "record",
    [
        federation(rounds=1),
        federation(rounds=2, status="failed", reason="aborted", final_scores={}, final_sites={}),
        federation(rounds=1, rounds_planned=5, status="failed", final_scores={}, final_sites={}).model_copy(
            update={"rounds": [], "best_round": None, "initial_scores": {}}
        ),  # before any round
    ],
    ids=["one round", "failed", "failed before any round"],
)
def test_a_report_without_baselines_or_pictures_has_no_empty_tables(record: FederationRecord) -> None:
    html = rendered(record)
    page = Page(html)
    assert "Pictures of patients never leave their hospital" in page.text
    assert "Trained at" not in page.text
    assert "Pooled" not in page.text.split("Wall time")[0]
    assert ("hospital by hospital" in page.text) == bool(record.final_scores)
    assert ("Training, round by round" in page.text) == bool(record.rounds)
    assert "None" not in page.text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0002, "0.000"), (0.0131, "+0.013"), (-0.02, "\N{MINUS SIGN}0.020"), (None, "")]
)
def test_a_difference_that_rounds_to_nothing_has_no_sign(value: float | None, text: str) -> None:
    assert page_environment().filters["signed"](value) == text
