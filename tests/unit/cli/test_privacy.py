"""`consilium privacy`: a page for each job folder and for each downloaded result."""

import json
from pathlib import Path

import pytest
from federation.readiness import readiness
from report.statistics.records import record as statistics
from report.study import federation

from consilium.recipes.catalog import build_recipe
from consilium.records.federation import FEDERATION_FILE
from consilium.records.readiness import READINESS_FILE
from consilium.records.statistics import STATISTICS_FILE

JOBS = Path(__file__).parents[3] / "jobs"


@pytest.mark.long
def test_a_job_folder_gives_a_page_in_three_forms(run, tmp_path):
    code, out, err = run("privacy", JOBS / "brain_tumor_fedavg", "--out", tmp_path / "page")
    assert (code, err) == (0, "")
    assert out.strip() == str(tmp_path / "page" / "privacy.html")
    content = json.loads((tmp_path / "page" / "privacy.json").read_text())
    assert content["job"] == "brain_tumor_fedavg"
    assert (tmp_path / "page" / "privacy.pdf").read_bytes().startswith(b"%PDF-")


def trained():
    record = federation(2)
    recipe = build_recipe("brain_tumor_fedavg")
    record.settings = recipe.settings.model_dump(mode="json", exclude={"name", "resume", "gpus_per_site"})
    return record


@pytest.mark.usefixtures("without_drawings")
@pytest.mark.parametrize(
    ("name", "record"),
    [
        (FEDERATION_FILE, trained()),
        (READINESS_FILE, readiness(north="train")),
        (STATISTICS_FILE, statistics({"north": 12})),
    ],
    ids=["training", "readiness", "statistics"],
)
def test_a_downloaded_result_gives_a_page_of_what_happened(run, tmp_path, name, record):
    folder = tmp_path / "results" / "workspace"
    folder.mkdir(parents=True)
    (folder / name).write_text(record.model_dump_json())
    code, _, _ = run("privacy", tmp_path / "results", "-o", tmp_path / "page")
    assert code == 0
    content = json.loads((tmp_path / "page" / "privacy.json").read_text())
    assert content["source"] == "record"
    assert content["sections"][0]["key"] == "happened"


def test_an_unknown_job_is_named_with_those_that_are_known(run, tmp_path):
    code, _, err = run("privacy", "nothing_of_this_name", "-o", tmp_path / "page")
    assert code == 2
    assert "no job is named 'nothing_of_this_name'" in err
    assert not (tmp_path / "page").exists()
