"""`consilium evaluate`: what it prints, and its exit codes."""

import pytest
from prediction.conftest import one_layer, write_case, write_labeled_case, write_model

__all__ = ["one_layer"]

NONE = "\N{EN DASH}"


@pytest.fixture
def run(run, tmp_path):
    write_labeled_case(tmp_path / "in", "Doe-1")
    model = write_model(tmp_path / "result/model.safetensors")

    def evaluate(*options, given=tmp_path / "in"):
        return run(
            *("evaluate", "-m", model, given, "-o", tmp_path / "out", *options),
            *("--convention", "brats-2023"),
        )

    return evaluate


def test_the_page_is_the_result_and_the_table_is_printed(run, tmp_path):
    code, out, err = run()
    assert (code, out) == (0, f"{tmp_path}/out/evaluation.html\n")
    lines = [line.split() for line in err.splitlines()]
    assert ["Overall", "Dice", "1.000", NONE] in lines
    assert ["Whole", "tumor", "Dice", "1.000", NONE] in lines
    assert "1 case evaluated, 0 left out; 1 patient. Not for clinical use." in err
    assert "0 cases evaluated, 1 as before" in run()[2]


@pytest.mark.long
def test_what_is_left_out_is_counted_and_named_only_where_it_is_asked_for(run, tmp_path):
    write_case(tmp_path / "in", "Roe-2")
    code, _, err = run()
    assert code == 1
    assert "no label to compare with (unlabeled)" in err
    assert "Roe" not in err
    assert "Roe-2" in run("--show-cases")[2]


def test_without_a_single_labeled_case_it_fails(run, tmp_path):
    (tmp_path / "in/Doe-1/Doe-1_seg.nii.gz").unlink()
    code, _, err = run()
    assert code == 2
    assert "0 cases evaluated, 1 left out; 0 patients" in err
    assert "No case could be evaluated." in (tmp_path / "out/evaluation.html").read_text()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--which", "best"), "holds no best_model.safetensors"),
        (("--device", "tpu"), "device"),
        (("--file-ending", "t9=x"), "t9"),
        (("--case", "Nobody"), "'Nobody'"),
    ],
)
def test_what_can_not_be_is_said(run, tmp_path, option, message):
    words = ("-m", tmp_path / "result") if option[0] == "--which" else ()
    code, _, err = run(*option, *words)
    assert code == 2
    assert message in err
