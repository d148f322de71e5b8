"""A site's whole update with noise that hides the hospital, as it leaves in the clear or masked."""

from __future__ import annotations

import numpy as np
import torch

from consilium.errors import TrainingError
from consilium.learning.patient_gradients import PatientGradients
from consilium.learning.secure_random import SecureRandom
from consilium.learning.weights import Weights
from consilium.privacy.hospital_noise import HospitalNoise


def hide_hospital(update: Weights, noise: HospitalNoise, random: SecureRandom | None = None) -> Weights:
    """Return an update scaled down to the clipping norm, with Gaussian noise in every direction.

    It is the arithmetic of one step of DP-SGD, with the update of a whole hospital in place of a patient's
    gradient: exact on a grid far finer than the noise, so that no low bits reveal what it was added to. What
    is not a floating point number, such as a counter, leaves as no change.

    Args:
        update: The change of every shared weight.
        noise: What the hospital decides.
        random: Where the noise is drawn from; only a test gives one.

    Raises:
        TrainingError: If a value is not finite, or the update has nothing that noise could be added to.

    Example:
        >>> import numpy as np
        >>> update = {"weight": np.zeros(3, np.float32)}
        >>> hide_hospital(update, HospitalNoise(clip=1.0, noise_multiplier=1.0))["weight"].shape
        (3,)
    """
    names = sorted(name for name, value in update.items() if np.asarray(value).dtype.kind == "f")
    if not names:
        raise TrainingError("the update has no weight that noise could be added to, so it stays")
    tensors = [torch.from_numpy(np.array(update[name])) for name in names]
    total = PatientGradients(tensors, clip=noise.clip)
    if not total.add(tensors):
        raise TrainingError("an update that is not finite can't be clipped, so it stays")
    total.add_noise(noise.noise_multiplier, random or SecureRandom())
    noisy = {name: value.numpy() for name, value in zip(names, total.mean(1.0), strict=True)}
    return {name: noisy.get(name, np.zeros_like(value)) for name, value in update.items()}
