"""The readiness check in FLARE's simulator, with hospitals that have something to fix."""

import shutil
from pathlib import Path

import pytest

from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.readiness import ReadinessRecord

from .studies import Study, read_json, simulate

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def study(hospitals, tmp_path_factory) -> Study:
    folder = tmp_path_factory.mktemp("readiness")
    sites = {name: hospitals[name] for name in ("north", "clinic", "solo")}
    for name in ("careless", "hapless"):
        sites[name] = folder / f"pacs_of_{name}"
        shutil.copytree(hospitals[name], sites[name])
    cases = sorted(sites["careless"].iterdir())
    for case in cases[:2]:
        (case / f"{case.name}_t2.nii.gz").write_bytes(b"no image")
    (cases[2] / f"{cases[2].name}_flair.nii.gz").unlink()
    (only,) = sites["hapless"].iterdir()
    (only / f"{only.name}_t2.nii.gz").write_bytes(b"no image")
    job = export_job(build_recipe("brain_tumor_check"), folder / "jobs")
    return simulate(job, sites, folder / "out", "--evaluates", "clinic")


@pytest.fixture(scope="module")
def record(study) -> ReadinessRecord:
    return ReadinessRecord.load(study.out / "result/readiness.json")


def test_a_check_that_finds_something_to_fix_is_a_check_that_worked(study):
    assert study.code == 0, study.stderr
    assert study.stdout.strip() == str(study.out / "report/index.html")


def test_each_site_says_what_it_can_do(record):
    assert {name: site.can for name, site in record.sites.items()} == {
        "north": "train",
        "careless": "train",
        "clinic": "evaluate",
        "solo": "evaluate",
        "hapless": "nothing",
    }
    assert record.missing == {}
    assert record.not_ready == ["hapless", "solo"]


def test_cases_are_counted_with_what_was_found(record, hospitals):
    careless = record.sites["careless"]
    assert careless.usable_cases == len(list(hospitals["careless"].iterdir())) - 3
    assert careless.left_out == {"missing_image": 1, "unreadable": 2}
    assert record.sites["hapless"].left_out == {"unreadable": 1}
    assert record.sites["north"].grid.spacing_mm == (4.0, 4.0, 4.0)
    assert record.sites["north"].label_convention


def test_the_table_and_the_page_say_who_must_fix_what(study):
    page = (study.out / "report/index.html").read_text()
    for text in (page, study.stderr):
        assert "Add the missing image file to the case" in text
        assert "solo" in text
    assert "partial" in study.stderr
    assert "hapless is not ready: no usable labeled case (left out: 1 unreadable)" in study.stderr
    assert "Something must be fixed at hapless and solo." in page
    assert "hapless: no usable labeled case (left out: 1 unreadable)" in study.log_of("server")


def test_a_site_s_own_files_name_the_cases_that_are_left_out(study):
    log = study.log_of("careless")
    quarantine = read_json(study.out / "cache/careless/quarantine.json")
    assert len(quarantine["left_out"]) == 3
    for one in quarantine["left_out"]:
        assert f"case {one['case']} is left out: {one['code']}" in log


def test_no_case_and_no_path_of_a_hospital_is_in_anything_that_the_server_has(study, hospitals):
    secrets = {str(hospitals[name]) for name in ("north", "clinic", "solo")} | {"pacs_of_"}
    for name in ("north", "clinic", "solo", "careless", "hapless"):
        secrets |= {path.name.partition(".")[0] for path in hospitals[name].rglob("*")}
    assert len(secrets) > 16
    server_side = [study.server, study.out / "result", study.out / "report"]
    assert finds(secrets, server_side) == []
    names = {path.name for place in server_side for path in place.rglob("*")}
    assert names >= {"log.txt", "progress.json", "readiness.json", "readiness_brain_tumor.json", "index.html"}
    # Where they do stand, the search finds them.
    assert finds(secrets, [study.out / "simulation/careless"])


def finds(secrets: set[str], places: list[Path]) -> list[tuple[str, Path]]:
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    contents = {path: path.read_bytes() + path.name.encode() for path in files}
    return [(one, path) for path, content in contents.items() for one in secrets if one.encode() in content]
