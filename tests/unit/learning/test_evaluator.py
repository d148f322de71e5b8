import numpy as np
import pytest
import torch
from torch import nn

from consilium.errors import Cancelled
from consilium.learning.evaluator import score_cases
from consilium.learning.network_state import get_weights
from consilium.learning.predictor import Predictor
from consilium.tasks.brain_tumor.method import BrainTumorMethod
from consilium.tasks.segmentation.regions import to_regions
from consilium.tasks.segmentation.resampling import resample

from .tiny import CPU, LEARNING, TinyTask, cached_case


class Knowing(nn.Module):
    """Answers what the first three modalities say: each holds the signed truth about one region."""

    def __init__(self):
        super().__init__()
        self.certainty = nn.Parameter(torch.tensor(10.0))

    def forward(self, image):
        return image[:, :3] * self.certainty


class KnowingMethod(BrainTumorMethod):
    def build_network(self, settings):
        return Knowing()


TASK = TinyTask(KnowingMethod)
WEIGHTS = get_weights(Knowing())


def ball_tumor(shape=(40, 36, 32), center=(19, 18, 15)):
    """Necrotic core in an enhancing shell in edema, radii 5, 8 and 12 voxels."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    distance = np.sqrt(((grid - np.reshape(center, (3, 1, 1, 1))) ** 2).sum(axis=0))
    return np.select([distance < 5, distance < 8, distance < 12], [1, 3, 2], 0).astype(np.uint8)


def knowing_case(folder, reference, task_shape=None, *, reported=None, spacing_mm=(1.0, 1.0, 1.0), name="P1"):
    """A case whose image holds the truth, or what is given instead, on the task grid."""
    reported = reference if reported is None else reported
    signed = to_regions(torch.from_numpy(reported), TASK.targets).float() * 2 - 1
    image = resample(signed, task_shape or reference.shape)
    image = torch.cat([image, torch.zeros_like(image[:1])]).numpy()
    label = np.zeros(image.shape[1:], np.uint8)
    return cached_case(folder, label, image, reference=reference, spacing_mm=spacing_mm, name=name)


def scores_of(case, **options):
    return score_cases(TASK, LEARNING, WEIGHTS, [case], CPU, **options)[0]


def test_the_truth_scores_one_on_equal_grids_through_many_windows(tmp_path):
    scores = scores_of(knowing_case(tmp_path, ball_tumor()))
    assert scores == {
        "dice_tc": 1, "dice_wt": 1, "dice_et": 1, "hd95_tc": 0, "hd95_wt": 0, "hd95_et": 0,
    }  # fmt: skip


def test_the_truth_scores_almost_one_on_native_voxels_from_a_coarser_grid(tmp_path):
    scores = scores_of(knowing_case(tmp_path, ball_tumor(), (20, 18, 16)))
    assert 0.95 < scores["dice_tc"] < 1  # an answer on the coarse voxels themselves would reach 1
    assert 0.97 < scores["dice_wt"] < 1
    assert scores["hd95_wt"] <= 1


def test_predictions_have_the_native_shape_also_for_cases_smaller_than_a_window(tmp_path):
    reference = ball_tumor((14, 15, 13), (7, 7, 6))
    case = knowing_case(tmp_path, reference, (7, 8, 6))
    probabilities = Predictor(TASK, LEARNING, WEIGHTS, CPU).probabilities(case)
    assert probabilities.shape == (3, 14, 15, 13)
    assert 0 <= float(probabilities.min()) <= float(probabilities.max()) <= 1


def test_distances_are_in_native_millimeters(tmp_path):
    reference = ball_tumor()
    case = knowing_case(
        tmp_path, reference, reported=np.roll(reference, 2, axis=2), spacing_mm=(1.0, 1.0, 3.0)
    )
    # A shift by two slices of 3 mm; beside the poles another voxel is nearer than the one it came from.
    assert 4 < scores_of(case)["hd95_wt"] <= 6
    assert "hd95_wt" not in scores_of(case, final=False)


def test_scores_come_in_the_order_of_the_cases(tmp_path):
    reference = ball_tumor()
    right = knowing_case(tmp_path, reference, name="right")
    wrong = knowing_case(tmp_path, reference, reported=np.zeros_like(reference), name="wrong")
    seen = []
    rows = score_cases(
        TASK, LEARNING, WEIGHTS, [wrong, right, wrong], CPU, on_case=lambda *step: seen.append(step)
    )
    assert [row["dice_wt"] for row in rows] == [0, 1, 0]
    assert rows[0]["hd95_wt"] == 374
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_evaluation_stops_before_the_next_case(tmp_path):
    case, seen = knowing_case(tmp_path, ball_tumor()), []
    with pytest.raises(Cancelled, match="case 1 of 3"):
        score_cases(
            TASK,
            LEARNING,
            WEIGHTS,
            [case] * 3,
            CPU,
            cancelled=lambda: bool(seen),
            on_case=lambda *step: seen.append(step),
        )
    assert seen == [(1, 3)]
