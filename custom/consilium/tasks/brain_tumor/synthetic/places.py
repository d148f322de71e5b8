"""Places of the average head, on both sides of it."""

from dataclasses import dataclass
from typing import cast

import numpy as np

from consilium.tasks.brain_tumor.synthetic.atlas import bounding_box
from consilium.tasks.brain_tumor.synthetic.noise import FloatMap

# A place is looked for on every `_STRIDE`-th voxel, and ends at the squared distance `_FARTHEST`.
_STRIDE, _FARTHEST = 3, 4.0


@dataclass(frozen=True)
class Place:
    """A pair of soft ellipsoids, mirror images of each other; one across the midline where `x` is 0.

    Args:
        seat_mm: Middle of the right one, in MNI space.
        reach_mm: Half axes.
    """

    seat_mm: tuple[float, float, float]
    reach_mm: tuple[float, float, float]

    def share(self, position_mm: FloatMap) -> FloatMap:
        """How much of the place is at MNI positions `(3, X, Y, Z)`: 1 in its middle, 0.4 at its edge."""
        found = np.zeros(position_mm.shape[1:], np.float32)
        near = self._distance(position_mm[:, ::_STRIDE, ::_STRIDE, ::_STRIDE]) < _FARTHEST
        if near.any():
            box = tuple(
                slice(max(side.start - 1, 0) * _STRIDE, (side.stop + 1) * _STRIDE)
                for side in bounding_box(near, margin=0)
            )
            found[box] = np.exp(-(self._distance(position_mm[(slice(None), *box)]) ** 2))
        return found

    def _distance(self, position_mm: FloatMap) -> FloatMap:
        """Squared distance from the middle of the nearer one, in half axes."""
        along = (np.abs(position_mm[0]), position_mm[1], position_mm[2])
        return cast(
            "FloatMap",
            sum(
                np.square((one - np.float32(seat)) / np.float32(reach))
                for one, seat, reach in zip(along, self.seat_mm, self.reach_mm, strict=True)
            ),
        )


def both_sides(position_mm: FloatMap, right: float, left: float) -> FloatMap:
    """A map `(X, Y, Z)` of one value a side."""
    return np.where(position_mm[0] > 0, np.float32(right), np.float32(left))
