"""A federation on data as it comes: one hospital has damaged cases, one labels as another year did."""

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from consilium.participant.site_data import SiteData, prepare_site
from consilium.recipes.exported_job import read_exported_job
from consilium.simulation.environment import with_split_salts
from consilium.simulation.hospitals import site_settings
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

from .studies import Study, export, read_json, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]

USED = 6
ENHANCING, CAVITY = 3, 4
"""What they are in a label of BraTS 2024; in those of the other hospitals 4 is enhancing tumor."""


@dataclass(frozen=True)
class Federation:
    """Four hospitals that trained together.

    Args:
        study: What the study left behind.
        sites: Each site's data folder.
        damaged: Id of each damaged case at the site `careless` -> code of what is wrong with it.
        learning: What the job decides.
    """

    study: Study
    sites: dict[str, Path]
    damaged: dict[str, str]
    learning: BrainTumorSettings

    def trained_on(self, site: str) -> SiteData:
        """What the site's training opened: its cache answers, and nothing is prepared again."""
        cache = self.study.out / "cache" / site
        entries = sorted(cache.glob("*/meta.json"))
        decided = site_settings(self.sites, self.study.out, frozenset(), min_patients=1)
        data = prepare_site(with_split_salts(decided, self.learning.seed)[site], self.learning)
        assert entries
        assert sorted(cache.glob("*/meta.json")) == entries
        return data


@pytest.fixture(scope="module")
def federation(hospitals, tmp_path_factory) -> Federation:
    folder = tmp_path_factory.mktemp("check")
    sites = {"north": hospitals["north"], "south": hospitals["south"]}
    sites["careless"] = folder / "pacs_of_careless"
    for case in sorted(hospitals["careless"].iterdir())[: USED + 3]:
        shutil.copytree(case, sites["careless"] / case.name)
    damaged = _damage(sites["careless"])
    sites["later"] = Path(shutil.copytree(hospitals["clinic"], folder / "pacs_of_later"))
    for label in sites["later"].rglob("*-seg.nii.gz"):
        _operate(label)
    job = export(folder / "jobs", {"rounds": 1, "min_sites": 4})
    return Federation(simulate(job, sites, folder / "out"), sites, damaged, read_exported_job(job).learning)


def _damage(hospital: Path) -> dict[str, str]:
    """Three kinds: a file that is missing, a file cut off, one image under two names."""
    missing, truncated, copied = sorted(hospital.iterdir())[:3]
    (missing / f"{missing.name}_t2.nii.gz").unlink()
    half = truncated / f"{truncated.name}_flair.nii.gz"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    t1, t2 = (copied / f"{copied.name}_{name}.nii.gz" for name in ("t1", "t2"))
    shutil.copyfile(t1, t2)
    return {
        missing.name: "missing_image",
        truncated.name: "truncated",
        copied.name: "duplicate_modality",
    }


def _operate(label: Path) -> None:
    """Give a label of BraTS 2023 a resection cavity, as one of 2024 has it: half of the necrotic core."""
    image = nib.load(label)
    values = np.asanyarray(image.dataobj).copy()
    core = np.argwhere(values == 1)
    values[tuple(core[: len(core) // 2].T)] = CAVITY
    assert set(np.unique(values)) == {0, 1, 2, ENHANCING, CAVITY}
    nib.Nifti1Image(values, image.affine, image.header).to_filename(label)


def test_the_federation_finishes_with_the_update_of_every_hospital(federation):
    assert federation.study.code == 0, federation.study.stderr
    report = federation.study.report
    assert report["status"] == "finished"
    (only,) = report["rounds"]
    assert {name: site["outcome"] for name, site in only["sites"].items()} == dict.fromkeys(
        federation.sites, "trained"
    )
    cases = {name: site["train_cases"] for name, site in report["sites"].items()}
    for name, site in only["sites"].items():
        assert site["weight"] == pytest.approx(cases[name] / sum(cases.values()))
        assert site["update_norm"] > 0


def test_a_hospital_with_three_damaged_cases_uses_the_rest(federation):
    site = federation.study.report["sites"]["careless"]
    assert site["train_cases"] + site["validation_cases"] + site["scored_cases"] == USED
    data = federation.trained_on("careless")
    used = {case.id for case in (*data.train, *data.evaluated_cases)}
    assert used == {case.name for case in federation.sites["careless"].iterdir()} - federation.damaged.keys()


def test_the_report_says_three_left_out_and_why(federation):
    report, page = federation.study.report, (federation.study.out / "report/index.html").read_text()
    assert report["sites"]["careless"]["left_out"] == Counter(federation.damaged.values())
    assert sum(report["sites"]["careless"]["left_out"].values()) == 3
    reported = f"careless left out 3 of {USED + 3} cases; the reasons are listed under “Cases”."
    assert reported in report["warnings"]
    assert reported in page
    text = " ".join(page.replace('<span class="faint">', "").split())
    for reason in (
        "image missing (missing_image). Add the missing image file to the case&#39;s folder",
        "file incomplete or damaged (truncated). Copy the file from its source again",
        "one image under two modalities (duplicate_modality). Replace the copy by the image",
    ):
        assert f"<li>1 \N{MULTIPLICATION SIGN} {reason}" in text
    written = page + (federation.study.out / "report/report.json").read_text()
    for case in federation.damaged:
        assert case not in written
        assert f"case {case} is left out: {federation.damaged[case]}" in federation.study.log_of("careless")


def test_the_hospital_itself_keeps_a_list_of_the_three(federation):
    kept = read_json(federation.study.out / "cache/careless/quarantine.json")
    assert {one["case"]: one["code"] for one in kept["left_out"]} == federation.damaged


def test_enhancing_tumor_of_another_year_is_trained_on_and_never_the_cavity(federation):
    """The label that is cut into patches, and the one that is scored against, voxel by voxel of the file."""
    data = federation.trained_on("later")
    (enhancing,) = (region for region in get_task(federation.learning.task).targets if region.name == "et")
    assert (len(data.train), len(data.evaluated_cases)) == (1, 1)
    assert data.problems == ()
    for case in (*data.train, *data.evaluated_cases):
        (file,) = federation.sites["later"].rglob(f"{case.id}-seg.nii.gz")
        stored = np.asanyarray(nib.load(file).dataobj)
        # The job's voxels are the file's, so that training's own label can be compared as well.
        assert case.geometry.task_shape == case.geometry.crop_shape
        for label in (case.label, case.reference):
            tissues = case.geometry.to_file_grid(np.asarray(label))
            in_region = np.isin(tissues, list(enhancing.values))
            assert in_region.any()
            np.testing.assert_array_equal(in_region, stored == ENHANCING)
            np.testing.assert_array_equal(tissues == Tissue.RESECTION_CAVITY, stored == CAVITY)


def test_a_hospital_of_another_year_scores_its_enhancing_tumor(federation):
    scores = federation.study.report["sites"]["later"]["global"]
    assert 0 <= scores["dice_et"] < 1  # 1 is what an empty region would score against an empty prediction
