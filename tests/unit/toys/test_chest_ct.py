"""A chest CT segmentation in a package of its own: one scan and one mask a patient, Hounsfield units."""

import re

import nibabel as nib
import numpy as np
import pytest
from tasks.packages import brought

from consilium.errors import ConfigurationError
from consilium.learning.model_file import save_model
from consilium.learning.network_state import initial_weights
from consilium.participant.site_settings import SiteSettings
from consilium.participant.statistics import gather_statistics
from consilium.recipes.catalog import build_recipe, task_jobs
from consilium.recipes.exported_job import export_job, job_task
from consilium.tasks import get_task
from consilium.tasks.registry import synthetic_cohort

BRAIN = re.compile(
    r"brain|skull|tumou?r|glioma|brats|edema|enhancing|\b(head|mri?|flair|t1|t1ce|t2|wt|tc|et)\b", re.I
)

JOB = "chest_ct_fedavg"


@pytest.fixture(scope="module", autouse=True)
def package():
    with brought("chest_ct"):
        yield


@pytest.fixture
def elm(tmp_path):
    """A hospital of eight patients, to damage."""
    return synthetic_cohort("chest_ct").make(tmp_path / "archives", only=["elm"]).hospitals["elm"]


def codes(found):
    return {one["code"]: one["cases"] for one in found["findings"]}


def edit(path, change):
    """Change the voxels of a file."""
    volume = nib.load(path)
    array = np.asarray(volume.dataobj).copy()
    changed = change(array)
    nib.Nifti1Image(array if changed is None else changed, volume.affine).to_filename(path)


def test_sound_scans_are_ready_and_nothing_speaks_of_a_brain(check, elm):
    code, found, text = check(elm)
    assert code == 0
    assert codes(found) == {}
    assert found["cases"] == {"used": 8, "labeled": 8, "left_out": 0}
    assert BRAIN.findall(text) == []


@pytest.mark.long
def test_what_is_wrong_with_a_scan_is_found(check, elm):
    (elm / "patient00_mask.nii.gz").write_bytes(b"no image")
    (elm / "patient01_ct.nii.gz").unlink()
    edit(elm / "patient02_mask.nii.gz", lambda label: np.where(label, 3, 0).astype(np.uint8))
    edit(elm / "patient03_ct.nii.gz", lambda image: np.full_like(image, -1000))
    edit(elm / "patient04_mask.nii.gz", lambda label: label[:-8])
    code, found, text = check(elm)
    assert code == 1
    assert codes(found) == {
        "unreadable": 1,
        "stray_label": 1,
        "bad_label_value": 1,
        "constant_image": 1,
        "shape_mismatch": 1,
    }
    # A mask without a scan is no case.
    assert found["cases"] == {"used": 3, "labeled": 3, "left_out": 4}
    assert BRAIN.findall(text) == []


@pytest.mark.long
def test_its_hospitals_are_made_by_the_command_line_and_left_alone_then(run, tmp_path):
    for _ in range(2):
        code, out = run("cohort", tmp_path / "data", "--task", "chest_ct")
        assert code == 0
        assert [line.partition("\t")[0] for line in out.splitlines()] == ["elm", "fir"]
    assert len(list((tmp_path / "data/fir").glob("*_ct.nii.gz"))) == 8
    with pytest.raises(ConfigurationError, match="no option spacing"):
        synthetic_cohort("chest_ct").specify({"spacing": 2.0})


def test_its_jobs_are_in_the_catalog(tmp_path):
    names = list(task_jobs(get_task("chest_ct")))
    assert names == [f"chest_ct_{one}" for one in ("fedavg", "check", "stats", "evaluate")]
    for name in names:
        assert job_task(export_job(build_recipe(name), tmp_path)) == "chest_ct"
    assert build_recipe("chest_ct_fedavg").settings.learning.spacing_mm == (3, 3, 6)


@pytest.mark.long
def test_statistics_are_in_the_window_of_hounsfield_units(elm, tmp_path):
    places = {"cache_dir": tmp_path / "cache", "state_dir": tmp_path / "state"}
    site = SiteSettings(dataset=elm, split_salt="a test", tasks={"chest_ct": {}}, **places)
    given = gather_statistics(
        site.for_task("chest_ct"), get_task("chest_ct"), progress=lambda *_: None, cancelled=lambda: False
    )
    axes = [f"{kind}_{axis}" for kind in ("spacing", "extent") for axis in "xyz"]
    assert sorted(given.features) == sorted(["intensity_ct", "volume_lesion", "absence_lesion", *axes])
    spread = np.array(given.histogram("intensity_ct"))
    # Soft tissue, 40 HU; air and lung are no foreground.
    assert spread[36:39].sum() > 0.95 * spread.sum()


def test_new_scans_are_predicted_by_a_model_that_says_its_task(run, elm, tmp_path):
    learning = build_recipe("chest_ct_fedavg").settings.learning
    weights = initial_weights(get_task("chest_ct"), learning, 0)
    save_model(tmp_path / "model.safetensors", weights, {"learning": learning.model_dump_json()})
    for mask in elm.glob("*_mask.nii.gz"):
        mask.unlink()
    words = ("-m", tmp_path / "model.safetensors", "-o", tmp_path / "out", "--pictures", "--probabilities")
    code, _ = run("predict", *words, "-i", elm, "--case", "patient03")
    assert code == 0
    found, scan = (
        nib.load(path) for path in (tmp_path / "out/patient03_seg.nii.gz", elm / "patient03_ct.nii.gz")
    )
    assert found.shape == scan.shape
    assert np.array_equal(found.affine, scan.affine)
    header, row = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert header == "case,lesion_ml,model"
    volume_ml = np.count_nonzero(found.dataobj) * 54 / 1000
    assert float(row.split(",")[1]) == pytest.approx(volume_ml, abs=1e-3)
    names = {path.name for path in (tmp_path / "out").glob("patient03*")}
    assert names == {"patient03_seg.nii.gz", "patient03_lesion_probability.nii.gz", "patient03.png"}
    assert run("predict", *words[:4], "-i", elm / "patient04_ct.nii.gz")[0] == 0  # of one image each


@pytest.mark.long
def test_a_model_is_evaluated_by_every_metric_but_those_of_lesions(run, page_text, elm, tmp_path):
    learning = build_recipe("chest_ct_fedavg").settings.learning
    weights = initial_weights(get_task("chest_ct"), learning, 0)
    save_model(tmp_path / "model.safetensors", weights, {"learning": learning.model_dump_json()})
    (elm / "patient04_mask.nii.gz").unlink()
    words = ("-m", tmp_path / "model.safetensors", elm, "-o", tmp_path / "out")
    code, _ = run("evaluate", *words, "--case", "patient03", "--case", "patient04")
    assert code == 1
    header, row = (line.split(",") for line in (tmp_path / "out/evaluation.csv").read_text().splitlines())
    measured = dict(zip(header, row, strict=True))
    assert (measured["case"], measured["patient"]) == ("patient03", "patient03")
    assert {"dice_lesion", "hd95_lesion", "surface_dice_2mm_lesion", "volume_error_lesion"} <= measured.keys()
    assert not {"dice", "lesion_dice_lesion", "lesion_hd95_lesion"} & measured.keys()
    marked = np.count_nonzero(nib.load(elm / "patient03_mask.nii.gz").dataobj) * 54 / 1000
    assert float(measured["reference_volume_lesion"]) == pytest.approx(marked, abs=1e-3)
    text = page_text(tmp_path / "out/evaluation.html")
    assert BRAIN.findall(text) == []
    assert "Dice" in text
