import io

import pytest
from prediction.conftest import one_layer, write_case, write_model

from consilium.errors import ConfigurationError
from consilium.prediction.run import predict
from consilium.report.terminal import Terminal
from consilium.simulation.demo import predict_patient
from consilium.simulation.display import Display

__all__ = ["one_layer"]


def test_the_demo_ends_with_a_new_patient_and_says_how_to_predict_others(tmp_path):
    write_model(tmp_path / "my run/result/best_model.safetensors")
    for name in ("P2", "P1"):
        write_case(tmp_path / "clinic", name)
    shown = io.StringIO()
    predict_patient(tmp_path / "my run", tmp_path / "clinic", "clinic", Display(Terminal(file=shown)))
    names = {path.name for path in (tmp_path / "my run/prediction").glob("P*")}
    assert names == {"P1_seg.nii.gz", "P1.png"}
    said = "".join(shown.getvalue().split())  # the terminal breaks lines, at a blank or within a long path
    command = f"consilium predict -m '{tmp_path}/my run/result' -i DIR -o OUT --pictures"
    for expected in ("a patient of clinic, on whom nobody trained", command):
        assert "".join(expected.split()) in said


def test_results_of_another_model_in_its_folder_do_not_end_the_demo(tmp_path):
    for name in ("P1", "P2"):
        write_case(tmp_path / "clinic", name)
    predict(
        write_model(tmp_path / "other.safetensors", round="2"), tmp_path / "clinic", tmp_path / "prediction"
    )
    write_model(tmp_path / "result/best_model.safetensors")
    shown = io.StringIO()
    predict_patient(tmp_path, tmp_path / "clinic", "clinic", Display(Terminal(file=shown)))
    said = " ".join(shown.getvalue().split())
    assert "prediction: left out:" in said
    assert "your own patients: consilium predict" in said
    assert (tmp_path / "prediction/P2_seg.nii.gz").is_file()


def test_without_a_model_it_fails(tmp_path):
    (tmp_path / "result").mkdir()
    with pytest.raises(ConfigurationError, match=r"no best_model\.safetensors or model\.safetensors"):
        predict_patient(tmp_path, tmp_path, "clinic", Display(Terminal(file=io.StringIO())))
