"""Regions that a network segments, computed from label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consilium.tasks.base import Target

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Region(Target):
    """A region that the network segments: a union of labels. Regions may overlap.

    Attributes:
        values: Those of the canonical label that belong to it, 1 to 7.
    """

    values: frozenset[int]


def to_regions(label: Tensor, regions: Sequence[Region]) -> Tensor:
    """Turn a canonical label map into regions.

    Args:
        label: `(..., X, Y, Z)`, uint8, values 0 to 7.
        regions: The R regions to make.

    Returns:
        Booleans, `(..., R, X, Y, Z)`.
    """
    import torch  # regions are named in processes that compute nothing

    # A bit for each value: one shift, then an "and" for each region. Ten times faster than comparisons.
    bits = torch.ones_like(label) << label
    masks = (sum(1 << int(value) for value in region.values) for region in regions)
    return torch.stack([(bits & mask).bool() for mask in masks], dim=-4)


def join_regions(found: Tensor, regions: Sequence[Region]) -> Tensor:
    """Turn regions into a canonical label map; where they disagree, the innermost wins.

    The value of a region is the lowest of those that no region within it has.

    Args:
        found: Booleans, `(R, X, Y, Z)`.
        regions: The R regions.

    Returns:
        Label map, `(X, Y, Z)`, uint8, 0 for background.

    Raises:
        ValueError: A region is nothing but regions within it, so that no value is its own.
    """
    import torch

    label = torch.zeros_like(found[0], dtype=torch.uint8)
    for region, mask in sorted(zip(regions, found, strict=True), key=lambda pair: -len(pair[0].values)):
        within = [other.values for other in regions if other.values < region.values]
        own = region.values.difference(*within)
        if not own:
            raise ValueError(f"region {region.name} has no value that is not of a region within it")
        label[mask] = min(own)
    return label
