"""Features of the statistics, with fixed public ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

About = Literal["images", "targets"]
"""Whether a feature describes the network's input or the target."""

Form = Literal["spread", "number", "yes_no"]
"""Whether a patient is spread over the bins, has one number, or yes or no."""

Role = Literal["appearance", "scale", "spacing", "extent", "target", "other"]
"""Meaning of a feature outside its task.

`appearance`: how images look to the network; hospitals are compared by it. `scale`: log10 of the stored
intensities' scale, which preparation removes. `spacing`, `extent`: size of a voxel and of an image along an
axis, in mm. `target`: a property of the target.
"""

CaseValue: TypeAlias = float | tuple[float, ...]
"""Value of a feature in one case: a number, 1 or 0 for yes or no, or the case's share in each bin."""

_Words = Annotated[str, Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Sentences = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Distance = Annotated[float, Field(gt=0, le=1e9)]


class FeatureGroup(BaseModel):
    """Features of one kind: one for each input, target or axis.

    Attributes:
        name: First part of the features' names.
        title: For headings, without the unit.
        about: See `About`.
        form: See `Form`.
        role: See `Role`.
        unit: Unit of the range; empty for yes or no.
        digits: Decimal places that are shown.
        note: A sentence on how it is computed; may be empty.
        phrase: For yes or no: the verb before the title, as in "have no lesion".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    title: _Words
    about: About
    form: Form
    role: Role
    unit: _Words = ""
    digits: int = Field(default=0, ge=0, le=6)
    note: _Sentences = ""
    phrase: _Words = "have"


class DriftLimits(BaseModel):
    """Distances between hospitals' images above which drift is expected, as measured for one task.

    Attributes:
        same_source: Largest distance at which images look as if from one source, such as one scanner.
        tried: Largest distance at which the task's jobs were tried.
        unit: Unit of both: that of the features whose role is `appearance`.
        source: Kind of source, for example "scanner".
        evidence: How the task's job did on hospitals about `tried` apart, as a clause.
        settings: `KEY=VALUE` of the job that let hospitals drift less, beyond `tried`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    same_source: _Distance
    tried: _Distance
    unit: _Words
    source: _Words
    evidence: _Sentences
    settings: tuple[_Words, ...] = Field(default=(), max_length=20)


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of patients and its equal bins; the first and the last also hold values beyond the range.

    The range is never derived from data, so that no minimum or maximum leaves a site.

    Attributes:
        group: The features of its kind.
        of: The input, target or axis that it describes.
        title: Title of that, for people.
        low: Start of the first bin.
        high: End of the last bin.
        bins: Number of bins.
    """

    group: FeatureGroup
    of: str
    title: str
    low: float
    high: float
    bins: int

    @property
    def name(self) -> str:
        """For example `volume_lesion`."""
        return f"{self.group.name}_{self.of}"

    @property
    def edges(self) -> NDArray[np.float64]:
        """Edges of the bins, `(bins + 1,)`."""
        return np.linspace(self.low, self.high, self.bins + 1)

    @property
    def centers(self) -> NDArray[np.float64]:
        """Centers of the bins, `(bins,)`."""
        edges = self.edges
        return (edges[:-1] + edges[1:]) / 2


class StatisticsFeatures(Protocol):
    """A task's statistics of a site's patients.

    It is sent to the processes that read cases, so it must be picklable: an instance of a top-level class.
    """

    @property
    def version(self) -> int:
        """Version of the values; increase it when the same files would give other values."""

    @property
    def drift(self) -> DriftLimits | None:
        """Measured distances between hospitals; None without measurements."""

    def features(self) -> tuple[Feature, ...]:
        """Return the features, in the order in which they are shown."""

    def describe(self, native: Any) -> Mapping[str, CaseValue]:
        """Return the values of a case by feature name; without a target, only those about images.

        Args:
            native: The case as its format reads it.
        """
