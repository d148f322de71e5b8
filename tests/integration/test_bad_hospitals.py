"""What hospitals get wrong, all of it in one job: each costs its own patients, never the others'."""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from .studies import Study, export, simulate

pytestmark = pytest.mark.integration


def _reads_everything() -> bool:
    """Whether this account may read a file that nobody may read, as root may."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0)
        return os.access(file.name, os.R_OK)


AS_ROOT = _reads_everything()


@dataclass(frozen=True)
class BadStudy:
    """A study at hospitals that got it wrong.

    Args:
        study: What it left behind.
        sites: Each site's data folder.
        damaged: Case id to the code of what is wrong with it, at the site `careless`.
    """

    study: Study
    sites: dict[str, Path]
    damaged: dict[str, str]


@pytest.fixture(scope="module")
def bad(hospitals, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    sites = {name: folder / f"pacs_of_{name}" for name in ("careless", "hapless", "vacant", "solo")}
    for name in ("careless", "hapless", "solo"):
        shutil.copytree(hospitals[name], sites[name])
    sites["vacant"].mkdir()
    damaged = _damage_cases(sites["careless"])
    (only,) = sites["hapless"].iterdir()
    _truncate(only / f"{only.name}_t2.nii.gz")
    study = simulate(export(folder / "jobs", {"min_sites": 1}), sites, folder / "out")
    return BadStudy(study, sites, damaged)


def _damage_cases(hospital: Path) -> dict[str, str]:
    """Damage a case in each of the ways there are, from the last case on; returns what was done to which."""

    def file(case: Path, kind: str) -> Path:
        return case / f"{case.name}_{kind}.nii.gz"

    ways = {
        "missing_image": lambda case: file(case, "t2").unlink(),
        "truncated": lambda case: _truncate(file(case, "flair")),
        "bad_label_value": lambda case: _rewrite(file(case, "seg"), _mark_seven),
        "shape_mismatch": lambda case: _rewrite(file(case, "t1"), lambda array: array[:, :, 1:]),
        "non_finite": lambda case: _rewrite(file(case, "t1ce"), _put_nan),
    }
    if not AS_ROOT:  # who may read everything can't be forbidden anything
        ways["permission_denied"] = lambda case: file(case, "flair").chmod(0)
    damaged = {}
    for case, (code, damage) in zip(sorted(hospital.iterdir(), reverse=True), ways.items(), strict=False):
        damage(case)
        damaged[case.name] = code
    return damaged


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _rewrite(path: Path, change) -> None:
    image = nib.load(path)
    array = change(np.asanyarray(image.dataobj))
    nib.Nifti1Image(array, image.affine).to_filename(path)


def _mark_seven(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.uint8)
    array[10:12, 10:12, 10:12] = 7
    return array


def _put_nan(array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float32)
    array[20, 20, 20] = np.nan
    return array


def test_the_job_ends_well_for_those_who_can_take_part(bad):
    assert bad.study.code == 0, bad.study.stderr
    report = bad.study.report
    assert report["status"] == "finished"
    assert [one["sites"]["careless"]["outcome"] for one in report["rounds"]] == ["trained", "trained"]
    assert report["sites"].keys() == bad.sites.keys()


def test_a_site_trains_on_its_good_cases_and_counts_the_others_by_reason(bad):
    site = bad.study.report["sites"]["careless"]
    good = len(list(bad.sites["careless"].iterdir())) - len(bad.damaged)
    assert site["train_cases"] + site["validation_cases"] + site["scored_cases"] == good
    assert site["left_out"] == dict.fromkeys(bad.damaged.values(), 1)
    left_out = f"careless left out {len(bad.damaged)} of {good + len(bad.damaged)} cases"
    assert any(left_out in warning for warning in bad.study.report["warnings"])


@pytest.mark.skipif(AS_ROOT, reason="root may read every file: run the tests as another user")
def test_a_file_that_may_not_be_read_leaves_its_case_out(bad):
    assert bad.study.report["sites"]["careless"]["left_out"]["permission_denied"] == 1


def test_the_sites_own_log_names_each_case_that_is_left_out(bad):
    log = bad.study.log_of("careless")
    for case, code in bad.damaged.items():
        assert f"case {case} is left out: {code}" in log
    (only,) = bad.sites["hapless"].iterdir()
    assert f"case {only.name} is left out: truncated" in bad.study.log_of("hapless")
    assert str(bad.sites["vacant"]) in bad.study.log_of("vacant")


@pytest.mark.parametrize(
    ("site", "reason"), [("hapless", "no usable labeled case: 0 without a label; left out: 1 truncated")]
)
def test_a_site_without_a_usable_case_declines_with_a_reason(bad, site, reason):
    asked = [*bad.study.federation["rounds"], {"sites": bad.study.federation["final_sites"]}]
    assert {one["sites"][site]["outcome"] for one in asked} == {"refused"}
    assert {one["sites"][site]["reason"] for one in asked} == {reason}
    assert any(
        warning.startswith(
            f"{site} is missing from the preparation, every round, the last validation and"
            " the final evaluation: "
        )
        and reason in warning
        and "What to do: " in warning
        for warning in bad.study.report["warnings"]
    )
    assert reason in bad.study.log_of("server")
    assert f"{site} is NOT part of the result: {reason}" in bad.study.stderr


def test_the_report_counts_the_cases_of_a_site_that_declined_and_says_what_to_do(bad):
    site = bad.study.report["sites"]["hapless"]
    assert site["left_out"] == {"truncated": 1}
    assert "consilium check DATASET" in site["remedy"]
    page = (bad.study.out / "report/index.html").read_text()
    assert "never reported" not in page
    assert "(truncated)." in page


def test_a_site_with_an_empty_folder_declines(bad):
    asked = [*bad.study.federation["rounds"], {"sites": bad.study.federation["final_sites"]}]
    assert {one["sites"]["vacant"]["outcome"] for one in asked} == {"refused"}
    assert all(one["sites"]["vacant"]["reason"] for one in asked)
    assert any("vacant is missing from the prep" in warning for warning in bad.study.report["warnings"])
    assert "vacant is NOT part of the result" in bad.study.stderr
    assert "is empty" in bad.study.log_of("vacant")


def test_a_site_with_one_patient_only_evaluates(bad):
    site = bad.study.report["sites"]["solo"]
    assert (site["role"], site["train_cases"], site["scored_cases"]) == ("evaluates", 0, 1)
    assert site["global"] is not None
    assert any(
        warning.startswith("solo ") and warning.endswith("it only evaluates.")
        for warning in bad.study.report["warnings"]
    )


def test_no_case_and_no_path_of_a_hospital_is_in_anything_that_the_server_has(bad):
    secrets = {str(folder).encode() for folder in bad.sites.values()}
    for folder in bad.sites.values():
        secrets |= {path.name.partition(".")[0].encode() for path in folder.rglob("*")}
    assert len(secrets) > len(bad.sites) + 5 * 9  # folders, cases and files: there is something to look for
    server_side = (bad.study.server, bad.study.out / "result", bad.study.out / "report")
    names = {path.name for place in server_side for path in place.rglob("*")}
    assert names >= {"log.txt", "progress.json", "federation.json", "round_metrics.jsonl", "report.json"}
    assert names >= {"index.html", "model.safetensors"}
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert [found for place in server_side for found in _find(secrets, place)] == []
    assert _find(secrets, bad.study.out / "simulation/careless")  # where they do stand, the search finds them


def _find(secrets: set[bytes], place: Path) -> list[str]:
    return [
        f"{secret.decode()} in {path}"
        for path in sorted(place.rglob("*"))
        for secret in secrets
        if secret in str(path.relative_to(place)).encode() or (path.is_file() and secret in path.read_bytes())
    ]


def test_the_hospitals_files_are_as_they_were(bad, hospitals):
    for name in ("careless", "solo"):
        before = {path.relative_to(hospitals[name]) for path in hospitals[name].rglob("*")}
        after = {path.relative_to(bad.sites[name]) for path in bad.sites[name].rglob("*")}
        assert after <= before  # the missing modality was removed above; nothing was added


def test_the_site_keeps_a_list_of_who_was_left_out_and_only_the_site_does(bad):
    (kept,) = (bad.study.out / "cache/careless").glob("quarantine.json")
    content = json.loads(kept.read_text())
    assert {one["case"]: one["code"] for one in content["left_out"]} == bad.damaged
    assert list(bad.study.server.rglob("quarantine.json")) == []
