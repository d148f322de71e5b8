import json
import logging
import shutil
import stat
from unittest import mock

import nibabel as nib
import numpy as np
import pytest

from consilium.data.codes import DataCode
from consilium.errors import ConfigurationError, DataError
from consilium.prediction import case_writer
from consilium.prediction.run import predict
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.presentation import SlicePresentation
from prediction.conftest import LEARNING, MODALITIES, bright_weights, write_case, write_model


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("P1", "P2", "P3")):
        write_case(tmp_path / "in", name, seed=number)
    return tmp_path / "in"


@pytest.fixture
def run(tmp_path, model, folder):
    def run(place=model, given=folder, **options):
        return predict(place, given, tmp_path / "out", **{"workers": 1, **options})

    return run


def rows(done):
    header, *lines = done.table.read_text().splitlines()
    return header, [line.split(",")[0] for line in lines]


def test_every_case_gets_its_files_and_a_line(run, tmp_path):
    seen = []
    done = run(pictures=True, probabilities=True, progress=lambda *numbers: seen.append(numbers))
    assert done.predicted == ("P1", "P2", "P3")
    assert rows(done) == ("case,tc_ml,wt_ml,et_ml,model", ["P1", "P2", "P3"])
    names = {path.name for path in (tmp_path / "out").iterdir() if path.name.startswith("P1")}
    regions = {f"P1_{region}_probability.nii.gz" for region in ("tc", "wt", "et")}
    assert names == {"P1.png", "P1_seg.nii.gz", *regions}
    assert seen == [(number, 3) for number in range(4)]
    about = json.loads((tmp_path / "out/about.json").read_text())
    assert about["values"] == {"tc": [1, 3], "wt": [1, 2, 3], "et": [3]}
    assert "P1" not in json.dumps(about)


def test_all_of_it_is_closed_to_other_accounts(run, tmp_path):
    run(pictures=True)
    for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]:
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO), path


def test_nothing_prepared_is_left(run, tmp_path):
    run()
    assert not (tmp_path / "out/.consilium/prepared").exists()
    assert list((tmp_path / "out").glob(".*.*")) == []


def test_a_label_is_neither_needed_nor_read(run, folder):
    (folder / "P1/P1_seg.nii.gz").write_bytes(b"not a label at all")
    done = run()
    assert done.predicted == ("P1", "P2", "P3")
    assert not [one for one in done.findings if one.case_id == "P1" and one.severity.value == "error"]


def test_a_label_is_never_replaced_by_a_prediction(model, folder):
    case, label = folder / "P1", folder / "P1/P1_seg.nii.gz"
    label.write_bytes(b"drawn by an expert")
    files = {name: next(case.glob(f"*_{name}.nii.gz")) for name in MODALITIES}
    with pytest.raises(ConfigurationError, match="holds other files than predictions"):
        predict(model, files, case, workers=1)
    assert label.read_bytes() == b"drawn by an expert"


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("convention", "value"), [("brats-2023", 2), ("decathlon", 1), ("brats-ped-2024", 4)]
)
def test_labels_are_in_the_convention_asked_for(run, tmp_path, convention, value):
    run(labels=convention)
    assert set(np.unique(nib.load(tmp_path / "out/P1_seg.nii.gz").dataobj)) == {0, value}


def test_what_is_finished_is_not_predicted_again(run, tmp_path):
    run()
    before = (tmp_path / "out/P1_seg.nii.gz").stat().st_mtime_ns
    again = run()
    assert (again.predicted, again.kept) == ((), ("P1", "P2", "P3"))
    assert (tmp_path / "out/P1_seg.nii.gz").stat().st_mtime_ns == before
    assert rows(again)[1] == ["P1", "P2", "P3"]


def test_what_was_found_in_a_finished_case_is_reported_again(run, folder):
    folder.joinpath("P2/P2_t1.nii.gz").open("ab").write(b"behind the end")
    findings = {(one.case_id, one.code) for one in run().findings}
    assert ("P2", DataCode.TRAILING_BYTES) in findings
    assert {(one.case_id, one.code) for one in run().findings} == findings


def test_a_changed_image_a_lost_file_and_a_new_case_are_predicted(run, folder, tmp_path):
    run()
    write_case(tmp_path / "other", "P1", seed=9)
    for path in (tmp_path / "other/P1").iterdir():
        (folder / "P1" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "out/P2_seg.nii.gz").unlink()
    write_case(folder, "P4", seed=4)
    again = run()
    assert (set(again.predicted), again.kept) == ({"P1", "P2", "P4"}, ("P3",))


@pytest.mark.long
def test_another_model_or_setting_is_predicted_again_and_more_output_too(run, tmp_path):
    run()
    weights = bright_weights()
    weights["bias"] = weights["bias"] - 1
    assert len(run(write_model(tmp_path / "other/model.safetensors", weights=weights)).predicted) == 3
    assert len(run().predicted) == 3
    assert len(run(mirror=True).predicted) == 3
    assert len(run(labels="decathlon", mirror=True).predicted) == 3
    assert len(run(labels="decathlon", mirror=True, pictures=True).predicted) == 3
    assert len(run(labels="decathlon", mirror=True).kept) == 3  # less than there is


def files_of(out, case_id):
    return {path.name.removeprefix(case_id) for path in out.iterdir() if path.name.startswith(case_id)}


def brighter():
    weights = bright_weights()
    weights["bias"] = weights["bias"] - 1
    return weights


@pytest.mark.long
def test_no_file_of_another_model_stays_beside_a_new_prediction(run, tmp_path):
    run(pictures=True, probabilities=True)
    run(write_model(tmp_path / "other/model.safetensors", weights=brighter()))
    assert files_of(tmp_path / "out", "P1") == {"_seg.nii.gz"}


@pytest.mark.long
def test_more_output_of_the_same_prediction_stays(run, tmp_path):
    run(probabilities=True)
    assert len(run(pictures=True).predicted) == 3
    assert len(files_of(tmp_path / "out", "P1")) == 5
    assert len(run(pictures=True, probabilities=True).kept) == 3


def test_a_killed_run_leaves_no_file_that_the_next_model_does_not_remove(run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(case_writer.CaseWriter, "_draw", raising(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(pictures=True, probabilities=True)
    assert "_wt_probability.nii.gz" in files_of(tmp_path / "out", "P1")
    assert len(run(write_model(tmp_path / "other/model.safetensors", weights=brighter())).predicted) == 3
    assert files_of(tmp_path / "out", "P1") == {"_seg.nii.gz"}


@pytest.mark.long
def test_a_case_that_cannot_be_drawn_keeps_its_prediction_and_the_others_continue(run, tmp_path, monkeypatch):
    run(only=["P2"], pictures=True)
    with monkeypatch.context() as patch:
        draw, names = SlicePresentation.draw, iter(("P1", "P3"))

        def fail_for_one(*arguments, **options):
            if next(names) == "P1":
                raise ValueError("no slice to show")
            draw(*arguments, **options)

        patch.setattr(SlicePresentation, "draw", fail_for_one)
        done = run(pictures=True)
    assert (done.predicted, done.kept, done.left_out) == (("P1", "P3"), ("P2",), ())
    assert [one.case_id for one in done.findings if one.code is DataCode.NO_PICTURE] == ["P1"]
    assert files_of(tmp_path / "out", "P1") == {"_seg.nii.gz"}
    assert files_of(tmp_path / "out", "P3") == {"_seg.nii.gz", ".png"}
    assert rows(done)[1] == ["P1", "P2", "P3"]
    again = run(pictures=True)
    assert (again.predicted, again.kept) == (("P1",), ("P2", "P3"))
    assert files_of(tmp_path / "out", "P1") == {"_seg.nii.gz", ".png"}


def raising(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.long
@pytest.mark.parametrize(
    "spoil",
    [
        lambda case: (case / f"{case.name}_t2.nii.gz").write_bytes(b"moved"),
        lambda case: (case / f"{case.name}_t2.nii.gz").unlink(),
    ],
    ids=["damaged", "removed"],
)
def test_an_earlier_prediction_of_a_case_that_is_left_out_is_removed(run, folder, tmp_path, spoil):
    run(pictures=True)
    spoil(folder / "P2")
    done = run(pictures=True)
    assert done.left_out == ("P2",)
    assert rows(done)[1] == ["P1", "P3"]
    assert files_of(tmp_path / "out", "P2") == set()


def test_a_case_whose_files_were_removed_by_hand_is_not_in_the_table(run, tmp_path):
    run()
    (tmp_path / "out/P2_seg.nii.gz").unlink()
    assert rows(run(only=["P1"]))[1] == ["P1", "P3"]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("change", [{"labels": "decathlon"}, {"mirror": True}, {"place": None}], ids=str)
def test_a_folder_holds_predictions_of_one_model_and_its_settings(run, tmp_path, change):
    run()
    if "place" in change:
        change = {"place": write_model(tmp_path / "other/model.safetensors", weights=brighter())}
    before = (tmp_path / "out/about.json").read_text()
    with pytest.raises(ConfigurationError, match="2 cases predicted with another model or other settings"):
        run(only=["P1"], **change)
    assert (tmp_path / "out/about.json").read_text() == before
    assert len(run().kept) == 3
    with interrupted_at("P2"), pytest.raises(KeyboardInterrupt):
        run(**change)
    assert files_of(tmp_path / "out", "P3") == set()  # about.json describes what is there


def interrupted_at(case_id):
    write = case_writer.CaseWriter.write

    def interrupted(self, case, *rest):
        if case.id == case_id:
            raise KeyboardInterrupt
        write(self, case, *rest)

    return mock.patch.object(case_writer.CaseWriter, "write", interrupted)


def test_it_resumes_after_an_interruption(run):
    with interrupted_at("P2"), pytest.raises(KeyboardInterrupt):
        run()
    resumed = run()
    assert (resumed.predicted, resumed.kept) == (("P2", "P3"), ("P1",))


def test_a_damaged_case_is_left_out_and_the_others_continue(run, folder):
    path = folder / "P2/P2_t2.nii.gz"
    path.write_bytes(path.read_bytes()[:900])
    done = run()
    assert (done.predicted, done.left_out) == (("P1", "P3"), ("P2",))
    assert [one.code for one in done.findings if one.severity.value == "error"] == [DataCode.TRUNCATED]
    assert rows(done)[1] == ["P1", "P3"]
    assert "truncated" in (done.out / "findings.csv").read_text()


def test_a_fault_in_one_prediction_is_a_finding_of_its_case(run, monkeypatch, caplog):
    infer = case_writer.CaseWriter.open_predictor

    class Failing:
        def __init__(self, inner):
            self.inner = inner

        def probabilities(self, case):
            if case.id == "P2":
                raise RuntimeError("not enough memory")
            return self.inner.probabilities(case)

    monkeypatch.setattr(case_writer.CaseWriter, "open_predictor", lambda self: Failing(infer(self)))
    with caplog.at_level(logging.CRITICAL):
        done = run()
    assert (done.predicted, done.left_out) == (("P1", "P3"), ("P2",))
    assert DataCode.UNEXPECTED_ERROR in {one.code for one in done.findings}


def test_a_missing_image_is_named_with_what_there_is(run, tmp_path):
    write_case(tmp_path / "in", "P4", without=("t1ce", "t2"))
    done = run()
    assert done.left_out == ("P4",)
    missing = [one for one in done.findings if one.code is DataCode.MISSING_IMAGE]
    assert [one.image for one in missing] == ["t1ce", "t2"]
    assert done.incomplete == {("t1", "flair"): 1}


@pytest.mark.long
def test_a_case_of_named_files_has_the_id_that_they_share_or_that_of_their_folder(tmp_path, model):
    write_case(tmp_path / "in", "P 1.a_x")
    ids = {"%s.nii.gz": "Doe", "P1_%s.nii.gz": "P1", "P1.2-%s.nii": "P1.2", "x%s.nii.gz": "Doe"}
    folder = tmp_path / "Doe"
    for name, case_id in ids.items():
        given = {}
        folder.mkdir()
        for one in MODALITIES:
            image = nib.load(tmp_path / "in/P 1.a_x" / f"P 1.a_x_{one}.nii.gz")
            given[one] = folder / (name % one)
            image.to_filename(given[one])
        done = predict(model, given, tmp_path / "out", workers=1)
        assert [*done.predicted, *done.kept] == [case_id]
        shutil.rmtree(folder)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("shape", [(22, 26, 2), (2, 26, 22), (60, 60, 1), (1, 1, 40), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("margin", [0, (4, 4, 0)], ids=str)
def test_a_thin_volume_is_predicted_or_left_out_with_a_reason(tmp_path, model, shape, margin):
    for number, one in enumerate(MODALITIES):
        edges = np.broadcast_to(margin, 3)
        inside = tuple(
            slice(edge, max(edge + 1, size - edge)) for edge, size in zip(edges, shape, strict=True)
        )
        image = np.zeros(shape, np.int16)
        image[inside] = np.random.default_rng(number).integers(400, 600, image[inside].shape)
        (tmp_path / "in/P1").mkdir(parents=True, exist_ok=True)
        nib.Nifti1Image(image, np.eye(4)).to_filename(tmp_path / f"in/P1/P1_{one}.nii.gz")
    done = predict(model, tmp_path / "in", tmp_path / "out", workers=1)
    assert DataCode.UNEXPECTED_ERROR not in {one.code for one in done.findings}
    assert bool(done.predicted) != any(one.severity.value == "error" for one in done.findings)
    if min(shape) == 1:
        assert VolumeCode.NOT_3D in {one.code for one in done.findings}


def test_files_are_named_one_by_one(run, folder, tmp_path):
    given = {name: folder / f"P1/P1_{name}.nii.gz" for name in MODALITIES}
    assert run(given=given).predicted == ("P1",)
    del given["t1ce"]
    with pytest.raises(ConfigurationError, match=r"given: t1, t2, flair \(t1ce missing\)\. .* -i t1ce=FILE"):
        run(given=given)
    with pytest.raises(ConfigurationError, match="pd not known"):
        run(given={**given, "t1ce": folder / "P1/P1_t1ce.nii.gz", "pd": folder})
    with pytest.raises(ConfigurationError, match=r"no file .*gone"):
        run(given={**given, "t1ce": folder / "gone.nii.gz"})
    with pytest.raises(ConfigurationError, match="-i t1=FILE -i t1ce=FILE"):
        run(given=folder / "P1/P1_t1.nii.gz")


def test_one_case_of_a_folder(run, folder):
    assert run(given=folder / "P2").predicted == ("P2",)
    assert run(only=["P3"]).predicted == ("P3",)
    with pytest.raises(ConfigurationError, match="'P9'"):
        run(only=["P9"])


def test_what_can_not_be_is_refused_before_anything_is_read(run, folder, tmp_path, model):
    with pytest.raises(ConfigurationError, match=r"no convention 'brats'.*brats-2023, brats-2015"):
        run(labels="brats")
    with pytest.raises(ConfigurationError, match="only ever read"):
        predict(model, folder, folder / "out")
    with pytest.raises(DataError, match="No known layout"):
        run(given=tmp_path / "result")
    assert not (tmp_path / "out").exists()


def test_mirrored_inputs_are_averaged(run, tmp_path):
    run(mirror=True)
    straight = nib.load(tmp_path / "out/P1_seg.nii.gz").get_fdata()
    run()  # the network looks at single voxels: mirroring changes nothing
    assert np.array_equal(straight, nib.load(tmp_path / "out/P1_seg.nii.gz").get_fdata())


@pytest.mark.integration
def test_several_processes_give_the_same(run, tmp_path):
    run(workers=2)
    one = (tmp_path / "out/P2_seg.nii.gz").read_bytes()
    (tmp_path / "out/P2_seg.nii.gz").unlink()
    assert run().predicted == ("P2",)
    assert (tmp_path / "out/P2_seg.nii.gz").read_bytes() == one


def without_t1(tmp_path):
    write_case(tmp_path / "lacking", "L1", without=("t1",))
    return tmp_path / "lacking"


def test_a_model_with_modality_dropout_predicts_a_case_without_a_modality_and_says_so(run, tmp_path):
    learning = LEARNING.model_copy(update={"modality_dropout": 0.2})
    model = write_model(tmp_path / "dropout.safetensors", learning=learning)
    done = run(model, without_t1(tmp_path))
    assert done.predicted == ("L1",)
    assert [one.image for one in done.findings if one.code is DataCode.ABSENT_IMAGE] == ["t1"]
    label = nib.load(tmp_path / "out/L1_seg.nii.gz").get_fdata()
    assert np.count_nonzero(label) == 4 * 3 * 2
    images = {name: tmp_path / "lacking/L1" / f"L1_{name}.nii.gz" for name in MODALITIES if name != "t1"}
    named = predict(model, images, tmp_path / "named", workers=1)
    assert len(named.predicted) == 1
    assert [one.image for one in named.findings if one.code is DataCode.ABSENT_IMAGE] == ["t1"]
    with pytest.raises(ConfigurationError, match="given: none"):
        predict(model, {}, tmp_path / "none", workers=1)


def test_any_other_model_names_the_modality_that_is_missing(run, tmp_path, model):
    done = run(given=without_t1(tmp_path))
    assert done.left_out == ("L1",)
    assert [one.image for one in done.findings if one.code is DataCode.MISSING_IMAGE] == ["t1"]
