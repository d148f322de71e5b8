"""What shines in heads without a tumor, and what a model must learn not to mark."""

from dataclasses import dataclass

import numpy as np

from consilium.tasks.brain_tumor.synthetic.bright_gray import brighten_gray
from consilium.tasks.brain_tumor.synthetic.gliosis import grow_gliosis
from consilium.tasks.brain_tumor.synthetic.head import Head
from consilium.tasks.brain_tumor.synthetic.noise import FloatMap
from consilium.tasks.brain_tumor.synthetic.vessels import grow_vessels


@dataclass(frozen=True)
class HealthySigns:
    """Bright structures of a head that are no tumor. All maps are `(X, Y, Z)`, 0 to 1.

    Args:
        vessel: Share of what takes up contrast agent: veins, sinuses, dura, choroid plexus.
        gliosis: Share of white-matter disease, bright on FLAIR and T2.
        bright_gray: Share of gray and white matter that is bright on FLAIR and T2 without disease.
    """

    vessel: FloatMap
    gliosis: FloatMap
    bright_gray: FloatMap


def grow_healthy_signs(head: Head, rng: np.random.Generator) -> HealthySigns:
    """Grow the bright structures of one head, each from a source of its own.

    Args:
        head: The anatomy.
        rng: The source of randomness.
    """
    vessel, gliosis, gray = rng.spawn(3)
    return HealthySigns(grow_vessels(head, vessel), grow_gliosis(head, gliosis), brighten_gray(head, gray))
