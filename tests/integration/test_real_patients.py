"""The main job on real patients, at the full size of their images."""

import shutil

import pytest

from .real_patients import FOLDER, MARKS
from .studies import export, read_json, simulate

pytestmark = MARKS


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    changes = {"rounds": 1, "min_sites": 1, "learning.spacing_mm": 2.0, "learning.patch_voxels": [64, 64, 64]}
    third = folder / "third"
    shutil.copytree(FOLDER / "tcga_lgg/TCGA-DU-7294", third / "TCGA-DU-7294")
    sites = {"a": FOLDER / "tcga_lgg", "b": FOLDER / "msd_task01", "c": third}
    return simulate(export(folder / "jobs", changes), sites, folder / "out")


def test_the_main_job_runs_on_real_patients_to_its_end(study):
    assert study.code == 0, study.stderr
    report = study.report
    assert report["status"] == "finished"
    names = ("train_cases", "validation_cases", "scored_cases")
    cases = {name: tuple(site[one] for one in names) for name, site in report["sites"].items()}
    assert cases == {"a": (1, 0, 1), "b": (0, 0, 1), "c": (0, 0, 1)}
    assert report["evaluated_on"] == "test"
    for site in report["sites"].values():
        assert site["left_out"] == {}
        assert 0 <= site["global"]["dice"] <= 1
    assert all((study.out / f"report/patient_{name}.png").exists() for name in cases)


@pytest.mark.parametrize("site", ["b", "c"])
def test_the_report_says_that_a_site_with_one_patient_only_evaluates(study, site):
    assert study.report["sites"][site]["role"] == "evaluates"
    said = f"{site} has one usable labeled case, and training takes two patients: it only evaluates."
    assert said in study.report["warnings"]
    assert said in (study.out / "report/index.html").read_text()


def test_images_went_in_at_their_full_size(study):
    entries = [
        read_json(path)["content"]["meta"]["geometry"] for path in (study.out / "cache").rglob("meta.json")
    ]
    assert len(entries) == 4
    assert {tuple(entry["file_shape"]) for entry in entries} == {(240, 240, 155)}
