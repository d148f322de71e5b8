"""`consilium predict`: what it prints, and its exit codes."""

import pytest
from prediction.conftest import MODALITIES, one_layer, write_case, write_model

__all__ = ["one_layer"]


@pytest.fixture
def run(run, tmp_path):
    write_case(tmp_path / "in", "Doe-1")
    model = write_model(tmp_path / "result/model.safetensors")

    def predict(*options, given=(tmp_path / "in",)):
        inputs = [word for one in given for word in ("-i", one)]
        return run("predict", "-m", model, *inputs, "-o", tmp_path / "out", *options)

    return predict


def test_the_table_is_the_result(run, tmp_path):
    code, out, err = run()
    assert (code, out) == (0, f"{tmp_path}/out/predictions.csv\n")
    assert "1 case predicted, 0 left out. Not for clinical use." in err
    assert "0 cases predicted, 1 as before" in run()[2]


def test_what_is_left_out_is_counted_and_named_only_where_it_is_asked_for(run, tmp_path):
    write_case(tmp_path / "in", "Roe-2", without=("t1ce",))
    code, _, err = run()
    assert code == 1
    assert "missing_image" in err
    assert "t1ce in 1 of 2" in err
    assert "1 case with only t1, t2, flair; a case of brain_tumor has t1, t1ce, t2, flair" in err
    assert "Roe" not in err
    assert "Roe-2" in run("--show-cases")[2]


def test_without_a_single_case_it_fails(run, tmp_path):
    (tmp_path / "in/Doe-1/Doe-1_t2.nii.gz").unlink()
    code, _, err = run()
    assert code == 2
    assert "0 cases predicted, 1 left out" in err


def test_files_are_given_by_their_images(run, tmp_path):
    files = [f"{name}={tmp_path}/in/Doe-1/Doe-1_{name}.nii.gz" for name in MODALITIES]
    assert run(given=files)[0] == 0
    assert (tmp_path / "out/Doe-1_seg.nii.gz").is_file()
    code, _, err = run(given=files[1:])
    assert code == 2
    assert "t1 missing" in err
    assert "is given twice" in run(given=[*files, files[0]])[2]
    assert "give one folder" in run(given=[tmp_path / "in", tmp_path / "in"])[2]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--labels", "brats"), "no convention 'brats'"),
        (("--which", "best"), "holds no best_model.safetensors"),
        (("--device", "tpu"), "device"),
        (("--file-ending", "t9=x"), "t9"),
    ],
)
def test_what_can_not_be_is_said(run, tmp_path, option, message):
    words = ("-m", tmp_path / "result") if option[0] == "--which" else ()
    code, _, err = run(*option, *words)
    assert code == 2
    assert message in err


def test_threads_are_those_that_were_asked_for(run, monkeypatch):
    import torch

    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    run("--threads", "1", "--device", "cpu")
    assert asked == [1]
