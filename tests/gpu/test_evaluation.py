"""Evaluation and prediction on the GPU: what a hospital sees is what a CPU shows."""

import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from learning.tiny import CPU

from consilium.cli.main import main
from consilium.learning.evaluator import measure_cases, score_cases
from consilium.learning.model_file import save_model
from consilium.learning.predictor import Predictor
from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout

from .conftest import DEVICE
from .patients import LEARNING, SEGRESNET, TASK, make_patients, train

pytestmark = pytest.mark.gpu

FEW_VOXELS = 0.005


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="module", params=[LEARNING, SEGRESNET], ids=lambda one: one.network)
def trained(request, cases):
    """Settings, and a network that has learned something."""
    learning = request.param.model_copy(update={"local_steps": 40, "learning_rate": 3e-3})
    return learning, train(cases, CPU, learning).weights


def test_scores_are_those_of_the_cpu(trained, cases, device):
    learning, weights = trained
    here, there = (score_cases(TASK, learning, weights, cases, one) for one in (device, CPU))
    for mine, other in zip(here, there, strict=True):
        dice = [name for name in other if name.startswith("dice")]
        assert max(other[name] for name in dice) > 0.3
        assert [mine[name] for name in dice] == pytest.approx([other[name] for name in dice], abs=0.02)
        assert mine.keys() == other.keys()
    measured = measure_cases(TASK, learning, weights, cases, device)
    assert [row.keys() for row in measured] == [
        row.keys() for row in measure_cases(TASK, learning, weights, cases, CPU)
    ]


def test_few_voxels_are_predicted_otherwise(trained, cases, device, exact):
    learning, weights = trained
    there = Predictor(TASK, learning, weights, CPU)
    for one, most in {exact: 1e-4, device: FEW_VOXELS}.items():
        here = Predictor(TASK, learning, weights, one)
        found = [here.predict(case) for case in cases]
        assert not any(prediction.is_cuda for prediction in found)
        wrong = [
            float((mine != there.predict(case)).float().mean())
            for mine, case in zip(found, cases, strict=True)
        ]
        print(f"\n{learning.network}, {one.amp_dtype or 'full'}: {max(wrong):.1e} of the voxels")
        assert max(wrong) <= most


def test_the_command_predicts_what_it_does_on_a_cpu(trained, tmp_path, monkeypatch):
    learning, weights = trained
    spec = CohortSpec(
        hospitals=(HospitalSpec(name="north", layout=CaseLayout.BRATS_2020, cases=2),),
        grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
    )
    archive = make_cohort(spec, tmp_path / "archives").hospitals["north"]
    model = tmp_path / "result/model.safetensors"
    model.parent.mkdir()
    settings = learning.model_copy(update={"spacing_mm": (4.0, 4.0, 4.0)})
    save_model(model, weights, {"learning": settings.model_dump_json(), "round": "1"})
    for number, device in enumerate((DEVICE, "cpu")):
        out = tmp_path / f"predicted-{number}"
        words = [
            "predict",
            "-m",
            model,
            "-i",
            archive,
            "-o",
            out,
            "--device",
            device,
            "--mirror",
            "--threads",
            1,
        ]
        monkeypatch.setattr(sys, "argv", ["consilium", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    first, second = (
        [np.asarray(nib.load(path).dataobj) for path in sorted(folder.rglob("*.nii.gz"))]
        for folder in sorted(tmp_path.glob("predicted-*"))
    )
    assert len(first) == len(second) == 2
    wrong = [float(np.mean(one != other)) for one, other in zip(first, second, strict=True)]
    assert max(wrong) < FEW_VOXELS
    assert torch.is_inference_mode_enabled() is False
