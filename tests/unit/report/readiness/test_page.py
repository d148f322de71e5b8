import re

import pytest
from federation.readiness import readiness, site
from pydantic import ValidationError
from rich.console import Console

from consilium.errors import RefusalCode
from consilium.records.bounds import MissingSite
from consilium.report.readiness.page import render_readiness
from consilium.report.readiness.table import terminal_tables
from consilium.report.write import write_report
from report.html import read_text

TIMES = "\N{MULTIPLICATION SIGN}"
SILENT = site("train", score_minimum=5, score_setting="min_count")
TRUNCATED = "Copy the file from its source again: it is incomplete or damaged."


def page_text(record):
    return read_text(render_readiness(record))


def terminal_text(record):
    console = Console(width=250)
    with console.capture() as captured:
        console.print(terminal_tables(record))
    return re.sub(r"\s+", " ", captured.get())


DEMAND = {"level": "formal", "job_epsilon": 3.0, "min_sites": 2, "secure_aggregation": True}
DEMANDED = (
    "formal protection, an epsilon of at most 3 in a job, at least 2 hospitals a round, secure aggregation"
)


@pytest.mark.parametrize("show", [page_text, terminal_text])
def test_what_each_hospital_demands_of_a_job_is_seen_before_one_is_submitted(show):
    shown = show(
        readiness(north=site("train", privacy=DEMAND), south=site("train", privacy={}), west="train")
    )
    assert DEMANDED in shown
    assert "no noise and no secure aggregation" in shown
    assert "not stated" in shown


@pytest.mark.parametrize(
    "lie",
    [
        {"level": "perfect"},
        {"job_epsilon": 3.0},  # of jobs without noise: no hospital can demand it
        {"level": "formal", "job_epsilon": -1.0},
        {"min_sites": 10**9},
        {"min_sites": "2"},
        {"secure_aggregation": "yes"},
        {"budget": 8.0},
    ],
)
def test_a_demand_that_no_hospital_can_have_is_rejected(lie):
    with pytest.raises(ValidationError):
        site("train", privacy=lie)


@pytest.fixture
def record():
    north = site(
        "train",
        usable_cases=12,
        validates=True,
        tests=True,
        left_out={"truncated": 3, "not_3d": None},
        noted={"partial_coverage": 4, "from_the_future": 1},
        label_convention="brats_2023",
        grid={"shape": (240, 240, 155), "spacing_mm": (1.0, 1.0, 1.25)},
        hardware={"cores": 8, "memory_gib": 64.0, "gpus_gib": [24.0, 80.0], "free_disk_gib": 512.5},
        versions={"consilium": "0.1.0"},
    )
    small = site("evaluate", usable_cases=None, reason="one usable labeled patient, and training takes two")
    clinic = site("evaluate", role="evaluates", reason="it only evaluates, as the hospital decided")
    record = readiness(north=north, south="train", small=small, clinic=clinic)
    record.missing["west"] = MissingSite(reason="versions do not fit", code=RefusalCode.VERSIONS)
    return record


@pytest.mark.parametrize("text_of", [page_text, terminal_text])
def test_who_can_do_what_is_shown_with_grid_labels_and_machine(record, text_of):
    text = text_of(record)
    grid = f"240 {TIMES} 240 {TIMES} 155 of 1 {TIMES} 1 {TIMES} 1.25 mm"
    assert f"north train 12 brats_2023 {grid}" in text
    assert "south train; no validation set and no test set" in text
    assert "8 cores, 64 GiB, GPU 24 GiB, GPU 80 GiB, 512 GiB of disk free" in text
    assert "small evaluate only few" in text
    assert "clinic evaluate (own choice) 0" in text
    assert "west no answer" in text


@pytest.mark.parametrize(
    ("text_of", "truncated", "flat", "slab", "other"),
    [
        (terminal_text, "truncated", "not_3d", "partial_coverage", "other"),
        (
            page_text,
            "file incomplete or damaged (truncated)",
            "wrong number of axes (not_3d)",
            "part of the brain (partial_coverage)",
            "Something that this version of consilium has no code for",
        ),
    ],
)
def test_what_is_to_be_fixed_is_shown_with_count_and_remedy(record, text_of, truncated, flat, slab, other):
    text = text_of(record)
    assert f"north 3 {truncated} left out {TRUNCATED}" in text
    assert f"north few {flat} left out Export one 3D volume per file" in text
    assert f"north 4 {slab} used; have a look Use the whole volume" in text
    assert f"north 1 {other} see the site's own log See the site's own log." in text


def test_voxels_of_equal_edges_are_shown_with_one_number():
    grid = {"shape": (96, 112, 88), "spacing_mm": (2.0, 2.0, 2.0)}
    text = terminal_text(readiness(north=site("train", usable_cases=3, grid=grid)))
    assert f"96 {TIMES} 112 {TIMES} 88 of 2 mm" in text


def test_the_page_begins_with_who_can_train_and_who_is_not_ready(record):
    text = page_text(record)
    assert "2 of 5 hospitals can train: north and south." in text
    assert "By its own choice, clinic will only evaluate." in text
    assert "Something must be fixed at small and west." in text
    cautions = text[text.index("To fix before training") : text.index("Hospitals")]
    assert "small: one usable labeled patient" in cautions
    assert "west: versions do not fit" in cautions
    assert "clinic" not in cautions


def test_a_hospital_that_leaves_too_many_cases_out_is_led_to_what_was_found():
    record = readiness(
        north=site(
            "nothing", usable_cases=4, reason="more than 50% would be left out", left_out={"truncated": 6}
        )
    )
    text = page_text(record)
    assert "north: more than 50% would be left out. What to do: " in text
    assert "What was found in its cases is listed below." in text
    assert "north 6 file incomplete or damaged (truncated) left out" in text


def test_the_page_is_named_after_the_task_as_people_call_it(record):
    record.title = "Retinopathy grading"
    assert "<title>Readiness for retinopathy grading</title>" in render_readiness(record)


def test_the_page_is_one_file_without_a_link_elsewhere(record, tmp_path):
    page = write_report(tmp_path / "report", record)
    html = page.read_text()
    assert not re.search(r"(src|href)=", html)
    assert "<script" not in html
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


def test_a_check_in_which_all_is_well_has_nothing_to_fix():
    record = readiness(north="train", south="train")
    text = page_text(record)
    assert "To fix before" not in text
    assert "What was found in the cases Nothing." in text
    assert "found" not in terminal_text(record)


def test_a_check_without_an_answer_has_a_page():
    record = readiness()
    record.missing["west"] = MissingSite(reason="no answer within 240 minutes", code=RefusalCode.LATE)
    text = page_text(record)
    assert "0 of 1 hospital can train." in text
    assert "west: no answer within 240 minutes (late). What to do: repeat the job" in text


def test_names_and_reasons_from_elsewhere_are_shown_as_they_are():
    record = readiness(**{"<b>x</b>": site("nothing", reason="<script>", left_out={"[u]": 1})})
    html = render_readiness(record)
    assert "<b>" not in html
    assert "<script" not in html
    assert "<b>x</b>" in terminal_text(record)
    assert "[u]" not in html + terminal_text(record)  # no code of ours: counted under `other`


def test_the_patients_are_shown_where_they_are_fewer_than_the_cases():
    text = terminal_text(readiness(north=site("train", usable_cases=14, usable_patients=12)))
    assert "14 of 12 patients" in text
    assert "patients" not in terminal_text(
        readiness(north=site("train", usable_cases=12, usable_patients=12))
    )


@pytest.mark.parametrize("text_of", [page_text, terminal_text])
def test_a_hospital_that_would_send_no_score_is_shown_with_its_setting(text_of):
    text = text_of(readiness(north=SILENT, south=site("train", validates=True, score_minimum=3)))
    assert "north train; no scores: fewer than 5 patients to validate and to test on (min_count)" in text
    assert "south train; no test set" in text


def test_the_page_begins_with_hospitals_that_would_send_no_score():
    text = page_text(readiness(north=SILENT, south=site("train", tests=True, score_minimum=3)))
    assert "No score of any model would leave north." in text
    assert "north: it can train, but sends no scores" in text
    assert "No hospital would send a score" in page_text(readiness(north=SILENT))
