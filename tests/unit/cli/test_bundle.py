"""`consilium bundle`: what it prints, and its exit codes."""

import pytest
from bundle.conftest import write_model


@pytest.fixture
def run(run, tmp_path):
    write_model(tmp_path / "result/model.safetensors")
    return lambda *words: run("bundle", *words)


def test_the_model_card_is_the_result(run, tmp_path):
    code, out, err = run(tmp_path / "result", "-o", tmp_path / "glioma", "--license", "CC-BY-4.0")
    assert (code, out) == (0, f"{tmp_path}/glioma/docs/README.md\n")
    assert "loading torch and MONAI" in err
    assert "writing it for MONAI" in err  # before TorchScript, which takes long
    assert "CC-BY-4.0" in (tmp_path / "glioma/LICENSE").read_text()


def test_what_lies_there_is_not_replaced(run, tmp_path):
    code, out, err = run(tmp_path / "result", "-o", tmp_path)
    assert (code, out) == (2, "")
    assert "something else than a bundle" in err
