"""Patients whose tumor a network learns in some steps: nested balls, each bright in one image."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from learning.tiny import cached_case
from numpy.typing import NDArray

from consilium.data.cached_case import CachedCase
from consilium.learning.device import Device
from consilium.learning.network_state import initial_weights
from consilium.learning.rounds import TrainingResult
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.weights import Weights, WeightSets
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

TASK = get_task("brain_tumor")
LEARNING = BrainTumorSettings(
    spacing_mm=1.0,
    patch_voxels=(16, 16, 16),
    batch_size=2,
    local_steps=4,
    learning_rate=1e-3,
    warmup=0.0,
    seed=3,
)
SEGRESNET = LEARNING.model_copy(update={"network": "segresnet"})


def make_patients(folder: Path, *, count: int = 3, edge: int = 28) -> list[CachedCase]:
    """Prepare patients, as the cache has them."""
    random = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij")).astype(np.float32)
    cases = []
    for number in range(count):
        center = random.uniform(0.35, 0.65, 3) * edge
        distance = np.sqrt(((grid - center[:, None, None, None]) ** 2).sum(0)) / edge
        label = np.select([distance < 0.08, distance < 0.14, distance < 0.22], [1, 3, 2], 0)
        images = random.normal(0, 0.3, (4, edge, edge, edge)) + np.eye(4)[label].transpose(3, 0, 1, 2)
        head = np.sqrt(((grid - edge / 2) ** 2).sum(0)) < 0.48 * edge
        cases.append(cached_case(folder, label * head, images * head, name=f"P{number}"))
    return cases


def start_of(learning: BrainTumorSettings) -> Weights:
    """The first weights of a network."""
    return initial_weights(TASK, learning, 0)


def train(
    cases: Sequence[CachedCase],
    device: Device,
    learning: BrainTumorSettings = LEARNING,
    *,
    weights: Weights | None = None,
    schedule: Schedule = Schedule(0, 3),  # noqa: B008 - frozen
    sets: WeightSets | None = None,
    **options: Any,
) -> TrainingResult:
    """Train a round with a new trainer."""
    start = start_of(learning) if weights is None else weights
    return Trainer(TASK, learning, cases, device, **options).train(start, schedule, sets=sets)


def change(new: Weights, old: Weights) -> NDArray[np.float64]:
    """What training changed, as one vector."""
    return np.concatenate([np.ravel(new[name]).astype(float) - np.ravel(old[name]) for name in sorted(old)])


def apart(first: Weights, second: Weights, start: Weights) -> float:
    """How far two results of training are apart, in lengths of the second one's change."""
    return vectors_apart(change(first, start), change(second, start))


def sets_apart(first: Weights, second: Weights) -> float:
    """The same of sets of weights that are changes by themselves."""
    nothing: Mapping[str, Any] = {name: np.zeros(1) for name in second}
    assert first.keys() == second.keys()
    return vectors_apart(change(first, nothing), change(second, nothing))


def vectors_apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """How far two vectors are apart, in lengths of the second."""
    assert np.isfinite(first).all()
    assert np.linalg.norm(second) > 0
    return float(np.linalg.norm(first - second) / np.linalg.norm(second))
