import re
from pathlib import Path

import pytest

from consilium.records.federation import FederationRecord, SiteRound
from consilium.report.html import page_environment
from consilium.report.training import page as report_page
from consilium.report.training.page import PatientView
from consilium.report.training.summary import summarize_study

from ..study import baselines, federation, scores, site_gain, site_report, site_round
from .rendering import Page, rendered

HOSTILE = "<script>alert('aster')</script>"


@pytest.fixture(scope="module")
def html() -> str:
    return rendered(
        federation(),
        baselines=baselines(),
        patients={"aster": PatientView(b"patient", b"for paper", "a patient", 0.6)},
    )


def test_the_page_needs_nothing_else(html: str) -> None:
    page = Page(html)
    loaded = [
        value
        for _, attributes in page.elements
        for name in ("src", "srcset")
        if (value := attributes.get(name))
    ]
    assert len(loaded) == 4  # the curves, light and dark, and one patient, for screens and for paper
    assert all(value.startswith("data:image/png;base64,") for value in loaded)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert not re.search(r"https?:|url\(|@import", html)


def test_tables_can_be_read_aloud(html: str) -> None:
    page = Page(html)
    assert len(page.named("table")) == len(page.named("caption")) == 11
    assert all("scope" in heading for heading in page.named("th"))
    assert all(image["alt"] for image in page.named("img"))


def test_the_page_says_what_the_numbers_are_and_are_not(html: str) -> None:
    text = " ".join(Page(html).text.split())
    assert "not for clinical use" in text
    assert "On 14 patient cases of 4 hospitals" in text
    assert "This page shows single patients: keep it where they are." in text
    assert "374 mm" in text
    assert "seed 7" in text
    assert "mean Dice of this patient 0.600" in text
    assert "as many steps as a hospital makes in the federation (200)" in text


def test_who_gains_stands_first_and_in_words(html: str) -> None:
    text = " ".join(Page(html).text.split())
    answer = text.index("In mean Dice, against its own model: too few patients for a conclusion at aster")
    assert answer < text.index("not compared: it only evaluates") < text.index("hospital by hospital")
    rows = [row for row in Page(html).named("tr") if "data-standing" in row]
    assert [row["data-standing"] for row in rows] == ["unclear", "unclear", "unclear", "not compared"]
    assert (
        "too few patients for a conclusion +0.040 4 patients: an interval takes at least 5 patients "
        "· own model of 10 training cases" in text
    )


def test_what_a_reader_asks_first_is_answered_above_the_tables(html: str) -> None:
    text = " ".join(Page(html).text.split())
    top = text[: text.index("hospital by hospital")]
    questions = (
        "What does each hospital gain against training alone?",
        "Whom does the model serve worst?",
        "Can I trust this table?",
    )
    places = [top.index(question) for question in questions]
    assert places == sorted(places)
    assert "dahlia has the worst mean Dice: 0.720" in top
    assert "scores are of 14 test cases of 4 hospitals, on which no model was trained" in top
    assert "that after round 5 of 5, trained at aster, birch and cedar on 26 cases." in top


def test_the_answers_of_many_hospitals_stand_together_above_their_figures() -> None:
    record = federation()
    for place in range(9):
        for sites in (record.final_sites, *(one.sites for one in record.rounds)):
            sites[f"site{place}"] = record.rounds[-1].sites["aster"]
        record.final_scores[f"site{place}"] = scores(0.8)
    html = rendered(record, baselines=baselines())
    assert html.index("Can I trust this table?") < html.index("<table")
    assert len(Page(html).named("table")) == 11
    usual = rendered(federation(), baselines=baselines())
    assert usual.index("<table") < usual.index("Whom does the model serve worst?")


def test_no_value_of_a_single_patient_is_in_the_report_of_a_real_federation() -> None:
    """Whatever it holds is made of the record; a page that stays with the patients has their dots."""
    made = baselines()
    record = federation(
        local_only={
            site: SiteRound(outcome="evaluated", report=site_report(site, gain=gain))
            for site, gain in made.gains.items()
        }
    )
    shared = rendered(record)
    assert "This page shows no single patient" in shared
    assert 'class="dot"' not in shared
    assert 'class="range"' not in shared
    local = rendered(federation(), baselines=made)
    assert local.count('class="dot"') == 10
    numbers = summarize_study(federation(), baselines=made, seconds={}).to_json()
    shown = [value for values in made.patient_gains.values() for value in values]
    means = {gain.gains["dice"].mean for gain in made.gains.values()}
    assert not [value for value in shown if str(value) in numbers and value not in means]


def test_a_real_federation_s_report_compares_with_the_local_only_models() -> None:
    gain = site_gain(0.80, 0.84, 12, 0.02)
    few = site_gain(0.79, 0.80, 3)
    record = federation(
        local_only={
            "aster": SiteRound(outcome="evaluated", report=site_report("aster", gain=gain)),
            "birch": SiteRound(outcome="evaluated", report=site_report("birch", gain=few)),
            "cedar": SiteRound(outcome="refused", reason="its disk is full."),
        }
    )
    text = " ".join(Page(rendered(record)).text.split())
    assert (
        "aster gains 0.040 (0.020 to 0.060); none loses; too few patients for a conclusion at birch "
        "(+0.010, 3 patients); cedar and dahlia cannot be compared" in text
    )
    assert "gains +0.040 +0.020 to +0.060 \N{MIDDLE DOT} 12 patients" in text
    assert (
        "too few patients for a conclusion +0.010 3 patients: an interval takes at least 5 patients" in text
    )
    assert "not compared: its disk is full" in text
    assert text.count("Local-only, own") == 2
    assert "Each hospital's own model at the other hospitals" not in text  # no model left its hospital


def test_a_narrow_screen_cuts_no_table(html: str) -> None:
    """Tables are stacked, each number with its label, or scroll inside their own frame."""
    page = Page(html)
    framed = len(re.findall(r'<div class="wide">\s*<table', html))
    assert framed == len(page.named("table")) - 2  # two figures have a narrow form of their own
    models = html[html.index('class="models stack"') : html.index("</table>", html.index("models stack"))]
    for cell in re.findall(r"<td[^>]*>", models):
        assert "data-label" in cell or 'class="lead"' in cell
    assert page.named("meta")[1]["content"] == "width=device-width, initial-scale=1"
    css = html[html.index("<style>") : html.index("</style>")]
    assert "@media screen and (max-width: 44rem)" in css
    assert ".curves { overflow-x: auto; }" in css  # charts are shown at a legible size, and scroll
    css = css.replace(".curves img { min-width: 42rem; }", "")
    assert all(int(width) <= 18 for width in re.findall(r"[{;]\s*(?:min-)?width: (\d+)rem", css))


def test_paper_has_no_black_pictures_and_keeps_the_heads_of_tables(html: str) -> None:
    page = Page(html)
    classes = [image.get("class") for image in page.named("img")]
    assert classes.count("on-screen") == classes.count("on-paper") == 1
    css = html[html.index("@media print") : html.index("</style>")]
    for rule in (
        ".on-screen { display: none; }",
        ".on-paper { display: block; }",
        "thead { display: table-header-group; }",
        "grid-template-columns: 1fr 1fr",
    ):
        assert rule in css
    assert ".on-paper { display: none; }" in html[: html.index("@media print")]


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


def test_every_class_of_the_pages_has_its_style() -> None:
    folder = Path(report_page.__file__).parents[1] / "templates"
    style = "".join(file.read_text() for file in folder.iterdir())
    for template in folder.glob("*.j2"):
        for names in re.findall(r'class="([^"{]*)"', template.read_text()):
            missing = [name for name in names.split() if f".{name}" not in style]
            assert not missing, f"{template.name}: {missing}"
