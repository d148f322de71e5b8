"""Metrics of a segmented case: meaning, range, value for empty masks, and bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from consilium.tasks.histograms import MetricBins
from consilium.tasks.measures import Direction, Measure
from consilium.tasks.segmentation.metrics import LONGEST_HD95_MM
from consilium.tasks.segmentation.regions import Region

NIKOLOV: Final = "Nikolov et al. 2021, doi 10.2196/26151"
BRATS: Final = "BraTS 2023, github.com/rachitsaluja/BraTS-2023-Metrics"
LIKE_DICE: Final = "as Dice"
TAHA: Final = "Taha and Hanbury 2015, doi 10.1186/s12880-015-0068-x"

LARGEST_ML: Final = 10_000.0
"""No organ is larger."""


class WhenEmpty(NamedTuple):
    """Value of a metric where masks are empty; None where it is as the definition has it.

    Attributes:
        reference: The reference alone.
        prediction: The prediction alone.
        both: Both.
    """

    reference: float | None
    prediction: float | None
    both: float | None


@dataclass(frozen=True, slots=True)
class CaseMetric:
    """A metric of one region of a case.

    Attributes:
        name: First part of its name in a case's scores: `dice` of `dice_wt`.
        title: Its name for people.
        unit: Empty for a plain number.
        low: Its lowest value.
        high: Its highest value; of distances and volumes, beyond any that occur.
        better: See `Direction`.
        bins: Public bins, for counts of patients.
        definition: What it is, in one sentence.
        when_empty: See `WhenEmpty`.
        source: Where it is defined.
        source_of_empty: Where its values on empty masks are defined.
        digits: Decimals that are shown.
        of_lesions: Whether it takes a definition of a lesion.
    """

    name: str
    title: str
    unit: str
    low: float
    high: float
    better: Direction
    bins: MetricBins
    definition: str
    when_empty: WhenEmpty
    source: str
    source_of_empty: str
    digits: int = 3
    of_lesions: bool = False


@dataclass(frozen=True, slots=True)
class LesionRule:
    """What counts as a lesion of its own, and what a wrong one costs.

    Attributes:
        dilation_mm: How far the reference is dilated along each axis; twice as far along all together.
        ignored_mm3: Lesions up to this volume are ignored.
        penalty_mm: HD95 of a missed lesion and of a false positive.
    """

    dilation_mm: float
    ignored_mm3: float
    penalty_mm: float


SHARE_BINS: Final = MetricBins.in_steps((0.01, 1.0))
SPECIFICITY_BINS: Final = MetricBins.in_steps(
    (0.1, 0.9), (0.01, 0.99), (0.001, 0.999), (0.0001, 0.9999), (0.00001, 1.0)
)
VOLUME_BINS: Final = MetricBins.in_steps(
    (0.1, 2.0), (0.5, 10.0), (2.0, 50.0), (10.0, 200.0), (50.0, 1000.0), (500.0, LARGEST_ML)
)
ERROR_BINS: Final = VOLUME_BINS.mirrored()

_OVERLAP_EMPTY: Final = WhenEmpty(reference=0.0, prediction=0.0, both=1.0)
_CLEAR_MM: Final = 20.0
_AS_DEFINED: Final = WhenEmpty(None, None, 0.0)
_OURS: Final = "as the definition has it"
_PLAIN: Final = "none needed"


def _share(
    name: str,
    title: str,
    definition: str,
    source: str,
    source_of_empty: str = BRATS,
    *,
    of_lesions: bool = False,
) -> CaseMetric:
    return CaseMetric(
        name, title, "", 0.0, 1.0, "higher", SHARE_BINS, definition, _OVERLAP_EMPTY, source, source_of_empty,
        of_lesions=of_lesions,
    )  # fmt: skip


def distance_bins(penalty_mm: float) -> MetricBins:
    """Return the bins of distances.

    The penalty has a bin of its own, 1 mm wide, so that a mean over patients with it is as exact as others.

    Example:
        >>> [edge for edge in distance_bins(374).edges if 340 < edge < 500]
        [350.0, 370.0, 373.5, 374.5, 400.0]
    """
    plain = MetricBins.in_steps(
        (0.25, 5.0), (0.5, 10.0), (2.0, 50.0), (20.0, 390.0), (10.0, 400.0), (100.0, LONGEST_HD95_MM)
    ).edges
    own = (penalty_mm - 0.5, penalty_mm + 0.5)
    left = {edge for edge in plain if not own[0] < edge < own[1] + _CLEAR_MM}
    return MetricBins(tuple(sorted(left | set(own))))


def _distance(
    name: str, title: str, definition: str, source: str, penalty_mm: float, *, of_lesions: bool = False
) -> CaseMetric:
    empty = WhenEmpty(penalty_mm, penalty_mm, 0.0)
    return CaseMetric(
        name, title, "mm", 0.0, LONGEST_HD95_MM, "lower", distance_bins(penalty_mm), definition, empty,
        source, BRATS, digits=1, of_lesions=of_lesions,
    )  # fmt: skip


def _volume(name: str, title: str, better: Direction, bins: MetricBins, definition: str) -> CaseMetric:
    return CaseMetric(
        name, title, "mL", bins.edges[0], LARGEST_ML, better, bins, definition, _AS_DEFINED, _PLAIN, _OURS,
        digits=1,
    )  # fmt: skip


def case_metrics(penalty_mm: float) -> tuple[CaseMetric, ...]:
    """Return all metrics of a region, in the order in which they are shown.

    Args:
        penalty_mm: HD95 where only one of prediction and reference has the region.
    """
    return (
        _share("dice", "Dice", "Twice the overlap over the sum of both volumes.", TAHA),
        _distance(
            "hd95",
            "HD95",
            "The larger 95th percentile of distances from one mask's boundary voxels to the other's.",
            "MONAI, `compute_hausdorff_distance`",
            penalty_mm,
        ),
        _share(
            "surface_dice_1mm",
            "Surface Dice at 1 mm",
            "Share of both surfaces' area that lies within 1 mm of the other surface.",
            NIKOLOV,
            LIKE_DICE,
        ),
        _share(
            "surface_dice_2mm",
            "Surface Dice at 2 mm",
            "Share of both surfaces' area that lies within 2 mm of the other surface.",
            NIKOLOV,
            LIKE_DICE,
        ),
        _share("sensitivity", "Sensitivity", "Share of the reference that was found.", TAHA),
        CaseMetric(
            name="specificity",
            title="Specificity",
            unit="",
            low=0.0,
            high=1.0,
            better="higher",
            bins=SPECIFICITY_BINS,
            definition=(
                "Share of the image outside the reference that was left out; 1 if nothing lies outside."
            ),
            when_empty=WhenEmpty(None, 1.0, 1.0),
            source=TAHA,
            source_of_empty=_OURS,
            digits=5,
        ),
        _volume("volume_error", "Volume error", "zero", ERROR_BINS, "Predicted volume less the reference's."),
        _volume(
            "absolute_volume_error",
            "Absolute volume error",
            "lower",
            VOLUME_BINS,
            "Difference of both volumes, without its sign.",
        ),
        _volume("volume", "Volume", "none", VOLUME_BINS, "Predicted volume."),
        _volume("reference_volume", "Reference volume", "none", VOLUME_BINS, "The reference's volume."),
        _share(
            "lesion_dice",
            "Lesion-wise Dice",
            "Mean Dice over lesions and false components; 0 for a missed lesion and a false component.",
            BRATS,
            of_lesions=True,
        ),
        _distance(
            "lesion_hd95",
            "Lesion-wise HD95",
            f"Mean HD95 over the same, by area of the surface; {penalty_mm:.0f} mm for a missed and a false "
            "one.",
            BRATS,
            penalty_mm,
            of_lesions=True,
        ),
    )


def region_measures(regions: Sequence[Region], *, penalty_mm: float, lesions: bool) -> tuple[Measure, ...]:
    """Return what a finished model is measured by: each metric of each region.

    Metrics that say how good a prediction is come with their mean over regions, unless there is but one.

    Args:
        regions: What is segmented, in the network's order.
        penalty_mm: HD95 where only one of prediction and reference has a region.
        lesions: Whether the problem has a definition of a lesion.

    Example:
        >>> lesion = Region("lesion", "Lesion", frozenset({1}))
        >>> [one.name for one in region_measures([lesion], penalty_mm=374, lesions=False)][:2]
        ['dice_lesion', 'hd95_lesion']
    """
    metrics = [one for one in case_metrics(penalty_mm) if lesions or not one.of_lesions]
    return tuple(_measures(regions, metrics))


def _measures(regions: Sequence[Region], metrics: Sequence[CaseMetric]) -> Iterator[Measure]:
    for one in metrics:
        parts: list[tuple[str, str | None]] = [
            (f"{one.name}_{region.name}", region.name) for region in regions
        ]
        if len(regions) > 1 and one.better in ("higher", "lower"):
            parts.insert(0, (one.name, None))
        for name, target in parts:
            yield Measure(name, one.title, target, one.unit, one.digits, one.better, one.definition)
