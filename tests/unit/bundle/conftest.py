"""A small model of random weights, as a job would have left it."""

import json

from consilium.learning.model_file import save_model
from consilium.learning.network_state import initial_weights
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.brain_tumor.task import BrainTumor

LEARNING = BrainTumorSettings(spacing_mm=1.5, patch_voxels=(16, 24, 16))


def write_model(path, *, task=None, learning=LEARNING, **metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    weights = initial_weights(task or BrainTumor(), learning, 1)
    values = {"learning": json.dumps(learning.model_dump(mode="json")), "round": "2", **metadata}
    save_model(path, weights, values)
    return path
