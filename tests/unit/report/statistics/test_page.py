import re
from base64 import b64decode

import pytest

from consilium.errors import ConfigurationError
from consilium.records.statistics import SiteAnswer, StatisticsRecord
from consilium.report.statistics.page import render_statistics
from consilium.report.write import write_report

from ..html import read_text
from .records import record

SITES = {"north": 12, "south": 4}
TIMES = "\N{MULTIPLICATION SIGN}"


def test_the_page_is_one_file_with_its_pictures_and_no_link_elsewhere(tmp_path):
    page = write_report(tmp_path / "report", record(SITES))
    html = page.read_text()
    pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    assert len(pictures) == 4
    assert all(b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert not re.search(r"(src|href)=\"(?!data:)", html)
    assert "<script" not in html
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]


@pytest.mark.usefixtures("without_drawings")
def test_the_page_has_each_hospitals_numbers():
    volumes = {"volume_wt": {"north": [52.5] * 12, "south": [102.5] * 4}}
    spacing = {"spacing_z": {"north": [1.0] * 12, "south": [1.0, 5.0, 5.0, 5.0]}}
    text = read_text(render_statistics(record(SITES, volumes | spacing)))
    assert f"north 12 12 1 5.1 {TIMES} 5.1 {TIMES} 1.0" in text
    assert f"south 4 4 1 5.1 {TIMES} 5.1 {TIMES} 5.0" in text
    assert "north 152 52 (beyond chance) 152" in text  # volumes of TC, WT and ET in mL


@pytest.mark.usefixtures("without_drawings")
def test_headings_are_the_titles_of_the_task_and_its_features():
    one = record(SITES)
    one.title = "Chest CT lesion segmentation"
    html = render_statistics(one)
    assert "<title>Statistics for chest CT lesion segmentation</title>" in html
    text = read_text(html)
    assert f"medians over patients, right {TIMES} anterior {TIMES} superior." in text
    assert "Hospital Tumor core Whole tumor Enhancing tumor north" in text


@pytest.mark.usefixtures("without_drawings")
def test_missing_hospitals_are_reported_first_with_the_reason():
    one = record(SITES, missing={"west": "its disk is away"})
    one.sites["west"] = SiteAnswer(min_count=1, reason="its disk is away")
    text = read_text(render_statistics(one))
    assert (
        "west is missing from these statistics: its disk is away (dataset). What to do: `consilium check-site"
        in text
    )
    assert text.index("Read this first") < text.index("west is missing") < text.index("Hospitals")


@pytest.mark.usefixtures("without_drawings")
def test_a_count_that_did_not_leave_its_hospital_is_shown_as_such():
    one = record(SITES)
    one.sites["south"] = SiteAnswer(
        patients=4, cases=None, left_out={"truncated": None, "not_3d": 7}, min_count=5
    )
    text = read_text(render_statistics(one))
    assert (
        f"few {TIMES} file incomplete or damaged (truncated); 7 {TIMES} wrong number of axes (not_3d)" in text
    )


@pytest.mark.long
def test_a_hospital_that_declined_stands_in_the_table_without_a_number():
    one = record(SITES, missing={"west": "its disk is away"})
    one.sites["west"] = SiteAnswer(min_count=3, reason="its disk is away")
    text = read_text(render_statistics(one))
    row = text[text.index("west", text.index("Left out")) :]
    assert row.startswith("west \N{EN DASH} \N{EN DASH}")
    assert "west" not in text[text.index("Intensities as the network sees them") :]


@pytest.mark.usefixtures("without_drawings")
def test_names_and_reasons_from_elsewhere_are_escaped():
    html = render_statistics(record({"<b>x</b>": 3}, missing={"west": "<script>alert(1)</script>"}))
    assert "<b>" not in html
    assert "<script" not in html


@pytest.mark.long
def test_titles_that_matplotlib_would_read_as_mathematics_are_drawn():
    one = record(SITES)
    for feature in one.features.values():
        feature.title = r"$\frac{$"
        feature.group = feature.group.model_copy(update={"title": r"$\frac{$", "unit": r"$\sqrt$"})
    assert "data:image/png" in render_statistics(one)


def test_a_job_that_failed_still_has_a_page():
    one = record({}, missing={"west": "its disk is away"})
    one.features, one.status, one.reason = {}, "failed", "it ended early"
    text = read_text(render_statistics(one))
    assert "The job failed: it ended early." in text
    assert "nothing can be said about drift" in text


def test_a_record_is_found_wherever_a_download_put_it(tmp_path):
    (tmp_path / "workspace/app_server").mkdir(parents=True)
    one = record(SITES)
    one.save(tmp_path / "workspace")
    assert StatisticsRecord.load(tmp_path) == one
    assert StatisticsRecord.load(tmp_path / "workspace/statistics.json") == one


@pytest.mark.parametrize("content", [None, "{}", "no json", '{"job": 1}'])
def test_what_is_no_record_is_rejected(tmp_path, content):
    (tmp_path / "result").mkdir()
    if content is not None:
        (tmp_path / "result/statistics.json").write_text(content)
    with pytest.raises(ConfigurationError, match="result"):
        StatisticsRecord.load(tmp_path / "result")
