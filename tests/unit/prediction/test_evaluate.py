import csv
import json
import stat

import nibabel as nib
import numpy as np
import pytest

from consilium.data.codes import DataCode
from consilium.errors import ConfigurationError, DataError
from consilium.prediction import case_scorer
from consilium.prediction.evaluate import evaluate
from consilium.prediction.run import predict
from prediction.conftest import bright_weights, write_case, write_labeled_case, write_model


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("P1", "P2", "P3")):
        write_labeled_case(tmp_path / "in", name, seed=number)
    return tmp_path / "in"


@pytest.fixture
def run(tmp_path, model, folder):
    def run(place=model, given=folder, **options):
        return evaluate(
            place, given, tmp_path / "out", **{"workers": 1, "convention": "brats-2023", **options}
        )

    return run


def rows(done):
    with done.table.open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_what_is_marked_exactly_is_found_exactly(run):
    done = run()
    assert done.evaluated == ("P1", "P2", "P3")
    for row in rows(done).values():
        assert float(row["dice_wt"]) == float(row["surface_dice_1mm_wt"]) == float(row["lesion_dice_wt"]) == 1
        assert float(row["hd95_wt"]) == float(row["volume_error_wt"]) == 0
        assert float(row["volume_wt"]) == pytest.approx(0.024)
        assert float(row["dice_et"]) == 1  # nothing marked, nothing found
        assert float(row["dice_tc"]) == 1
        assert float(row["dice"]) == 1
    assert done.summary.patients == 3
    assert done.summary.measures["dice"].mean == 1
    assert done.summary.measures["dice"].interval is None  # of so few


def test_what_is_missed_costs_as_defined(run, folder):
    half = folder / "P2/P2_seg.nii.gz"
    label = nib.load(half)
    array = np.asarray(label.dataobj).copy()
    array[array > 0] = 0
    array[5:9, 8:11, 10:14] = 2  # twice as large as what is bright
    nib.Nifti1Image(array, label.affine).to_filename(half)
    row = rows(run())["P2"]
    assert float(row["dice_wt"]) == pytest.approx(2 / 3, abs=1e-6)
    assert float(row["sensitivity_wt"]) == 0.5
    assert float(row["volume_error_wt"]) == pytest.approx(-0.024)


@pytest.mark.long
def test_specificity_is_of_the_whole_image(run, folder, tmp_path):
    write_labeled_case(tmp_path / "other", "P1", marked=slice(10, 11))
    row = rows(run(given=tmp_path / "other"))["P1"]
    outside = 22 * 26 * 18 - 12
    assert float(row["specificity_wt"]) == pytest.approx(1 - 12 / outside, abs=1e-6)


@pytest.mark.long
def test_cases_of_a_patient_count_once(run, folder, tmp_path):
    patients = tmp_path / "patients.csv"
    patients.write_text("case,patient\nP1,A\nP2,A\nP3,B\n")
    done = run(patients=patients)
    assert (done.summary.patients, done.summary.cases) == (2, 3)
    assert [row["patient"] for row in rows(done).values()] == ["A", "A", "B"]


@pytest.mark.long
def test_five_patients_have_an_interval_and_quantiles(run, folder):
    for number in (4, 5):
        write_labeled_case(folder, f"P{number}", seed=number, marked=slice(10, 11))
    dice = run().summary.measures["dice_wt"]
    values = [1, 1, 1, 2 / 3, 2 / 3]
    assert dice.mean == pytest.approx(np.mean(values))
    assert dice.interval[0] < dice.mean < dice.interval[1]
    assert dice.quantiles == pytest.approx(np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)))
    assert (dice.low, dice.high) == pytest.approx((2 / 3, 1))


def test_a_case_without_a_label_is_left_out_with_its_code(run, folder):
    write_case(folder, "P4", seed=4)
    done = run()
    assert (done.evaluated, done.left_out) == (("P1", "P2", "P3"), ("P4",))
    assert ("P4", DataCode.UNLABELED) in {(one.case_id, one.code) for one in done.findings}
    assert json.loads((done.out / "evaluation.json").read_text())["left_out"] == {"unlabeled": 1}
    assert "no label to compare with" in done.page.read_text()


@pytest.mark.long
def test_a_missing_image_is_named_and_a_copy_counts_once(run, folder):
    write_labeled_case(folder, "P4", seed=1, without=("t1ce",))
    for name in ("P5", "P6"):  # large enough to be one of a kind
        write_labeled_case(folder, name, seed=5, shape=(40, 40, 30))
    done = run()
    assert done.left_out == ("P4", "P6")
    assert done.incomplete == {("t1", "t2", "flair"): 1}
    codes = {one.case_id: one.code for one in done.findings if one.severity.value == "error"}
    assert codes == {"P4": DataCode.MISSING_IMAGE, "P6": DataCode.DUPLICATE_EXAMINATION}
    assert list(rows(done)) == ["P1", "P2", "P3", "P5"]
    assert done.summary.cases == 4


def test_what_is_finished_is_not_evaluated_again(run, folder):
    before = run()
    again = run()
    assert (again.evaluated, again.kept) == ((), ("P1", "P2", "P3"))
    assert again.summary == before.summary
    weights = bright_weights()
    weights["bias"] = weights["bias"] - 1
    other = write_model(folder.parent / "other/model.safetensors", weights=weights)
    assert len(run(other).evaluated) == 3
    assert len(run(other, mirror=True).evaluated) == 3


@pytest.mark.long
def test_a_changed_label_is_evaluated_again(run, folder, tmp_path):
    run()
    write_labeled_case(tmp_path / "other", "P2", seed=1, marked=slice(10, 11))
    label = "P2/P2_seg.nii.gz"
    (folder / label).write_bytes((tmp_path / "other" / label).read_bytes())
    done = run()
    assert (done.evaluated, done.kept) == (("P2",), ("P1", "P3"))
    assert float(rows(done)["P2"]["dice_wt"]) < 1


@pytest.mark.long
def test_it_resumes_after_an_interruption(run, monkeypatch):
    write = case_scorer.CaseScorer.write

    def interrupted(self, case, *rest):
        if case.id == "P2":
            raise KeyboardInterrupt
        write(self, case, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(case_scorer.CaseScorer, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run()
    resumed = run()
    assert (resumed.evaluated, resumed.kept) == (("P2", "P3"), ("P1",))


def test_an_evaluation_of_other_cases_is_not_replaced(run, tmp_path):
    done = run()
    table, page = done.table.read_bytes(), done.page.read_bytes()
    write_labeled_case(tmp_path / "elsewhere", "P7", seed=7)
    with pytest.raises(ConfigurationError, match=r"evaluation of 3 cases, none of which is in .*elsewhere"):
        run(given=tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="2 cases evaluated with another model or other settings"):
        run(only=["P1"], mirror=True)
    assert (done.table.read_bytes(), done.page.read_bytes()) == (table, page)
    assert run().kept == ("P1", "P2", "P3")


@pytest.mark.long
def test_predictions_and_an_evaluation_share_a_folder(run, model, folder, tmp_path):
    run()
    done = predict(model, folder, tmp_path / "out", workers=1)
    assert done.predicted == ("P1", "P2", "P3")
    assert run().kept == ("P1", "P2", "P3")
    assert predict(model, folder, tmp_path / "out", workers=1).kept == ("P1", "P2", "P3")


def test_all_of_it_is_closed_to_other_accounts_and_only_tables_and_page_name_cases(run, tmp_path):
    done = run()
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path
    assert not (tmp_path / "out/.consilium/prepared").exists()
    assert "P1" not in (done.out / "evaluation.json").read_text()


def test_what_can_not_be_is_refused(run, folder, tmp_path, model):
    with pytest.raises(ConfigurationError, match=r"no label convention named 'brats'.*brats-2023"):
        run(convention="brats")
    with pytest.raises(ConfigurationError, match="only ever read"):
        evaluate(model, folder, folder / "out")
    with pytest.raises(ConfigurationError, match="is no folder"):
        run(given=folder / "P1/P1_t1.nii.gz")
    with pytest.raises(DataError, match="No known layout"):
        run(given=tmp_path / "result")
    with pytest.raises(ConfigurationError, match="'P9'"):
        run(only=["P9"])
