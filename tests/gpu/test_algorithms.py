"""Every algorithm on the GPU: what it keeps and sends is what it is on the CPU."""

import numpy as np
import pytest
from learning.tiny import CPU

from consilium.learning.algorithms import ALGORITHMS, local_algorithm, parse_algorithm
from consilium.learning.network_state import get_weights
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer

from .patients import SEGRESNET, TASK, apart, make_patients, sets_apart, start_of

pytestmark = pytest.mark.gpu

START = start_of(SEGRESNET)
STRONG = {"fedprox": {"mu": 10.0}, "ditto": {"strength": 1.0}}
"""Settings with which the algorithm's own part is no small one."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return make_patients(tmp_path_factory.mktemp("patients"))


def two_rounds(name, cases, device, memory, *, middle=None):
    """Train two rounds, the second by another trainer from what the first left on disk.

    The second starts from the weights of `middle`, so that rounding of the first isn't counted twice.
    """
    settings = parse_algorithm({"name": name, **STRONG.get(name, {})})
    random = np.random.default_rng(5)
    sets = {
        received: {
            key: random.normal(0, 1e-3, value.shape).astype(np.float32) for key, value in START.items()
        }
        for received in settings.declaration.received
    }
    weights, results = START, []
    for number in range(2):
        algorithm = local_algorithm(settings, SEGRESNET)
        trainer = Trainer(TASK, SEGRESNET, cases, device, memory=RoundStateStore(memory), algorithm=algorithm)
        results.append(trainer.train(weights, Schedule(number, 3), sets=sets))
        weights = results[-1].weights if middle is None else middle
    return results


@pytest.mark.parametrize("name", sorted(ALGORITHMS.keys() - {"dp_sgd"}))
def test_an_algorithm_does_what_it_does_on_the_cpu(name, cases, exact, device, tmp_path):
    there = two_rounds(name, cases, CPU, tmp_path / "cpu")
    for one, near in {exact: 0.15, device: 0.6}.items():
        here = two_rounds(name, cases, one, tmp_path / f"{one.amp_dtype}", middle=there[0].weights)
        start, found = START, []
        for mine, other in zip(here, there, strict=True):
            found.append(apart(mine.weights, other.weights, start))
            start = other.weights
            assert mine.loss == pytest.approx(other.loss, rel=0.05)
            assert mine.numbers == pytest.approx(other.numbers, rel=0.05)
            assert mine.sent.keys() == other.sent.keys()
            for key, sent in other.sent.items():  # empty where the dialogue seals the update
                assert mine.sent[key].keys() == sent.keys()
                found += [sets_apart(mine.sent[key], sent)] if sent else []
            assert mine.personal.keys() == other.personal.keys()
            if other.personal:
                begun = {key: START[key] for key in other.personal}
                found.append(apart(mine.personal, other.personal, begun))
        print(f"\n{name}, {one.amp_dtype or 'full'}: apart by", *(f"{value:.3f}" for value in found))
        assert max(found) < near


def test_what_leaves_a_gpu_is_laid_out_like_a_model(cases, device, tmp_path):
    """Channels-last is a matter of the device: an array's bytes are read in their order elsewhere."""
    result = two_rounds("scaffold", cases, device, tmp_path / "memory")[-1]
    kept = RoundStateStore(tmp_path / "memory").recall(2)
    network = device.place(TASK.method.build_network(SEGRESNET))
    for weights in (result.weights, *result.sent.values(), get_weights(network), *kept.arrays.values()):
        assert all(value.flags.c_contiguous for value in weights.values())
