"""A corpus of wrong data: ways to damage one case of a hospital in the layout of BraTS 2018 to 2021.

Each damage is a function of the hospital's folder, the case, and another case of the same hospital.
"""

from collections.abc import Iterator

from .base import IMAGES, Damage
from .files import files, grids, headers
from .images import hot_voxels, intensities, modalities
from .labels import labels, patients

__all__ = ["IMAGES", "Damage", "combined", "damages", "hot_damages"]


def damages() -> Iterator[Damage]:
    """Every single damage."""
    for kind in (files, headers, grids, intensities, modalities, labels, patients):
        yield from kind()


def hot_damages() -> Iterator[Damage]:
    """Ways in which a few voxels get values that no tissue has."""
    yield from hot_voxels()


def combined() -> Iterator[tuple[Damage, Damage]]:
    """Pairs of damages to one case, both of which must be found."""
    by_name = {damage.name: damage for damage in damages()}
    for first, second in (
        ("a name", "half a file"),
        ("a date", "a label mirrored"),
        ("NaN", "half a file"),
        ("NaN", "one value"),
        ("clipped", "a label moved"),
        ("meters", "t1 and t2 swapped"),
        ("eight bits", "an empty label"),
        ("negative", "eight bits"),
    ):
        yield by_name[first], by_name[second]
