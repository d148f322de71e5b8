"""Features of the statistics, with fixed public ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

About = Literal["images", "targets"]
"""Whether a feature is about what goes into the network, or about what is to be learned."""

Form = Literal["spread", "number", "yes_no"]
"""Whether a patient is spread over the bins, has one number, or has something or not."""

Role = Literal["appearance", "scale", "spacing", "extent", "target", "other"]
"""What a feature stands for outside its task.

`appearance`: how images look to the network; hospitals are compared by it. `scale`: log10 of how images are
stored, which preparing them takes away. `spacing`, `extent`: size of a voxel and of an image along an axis,
in mm. `target`: of what is to be learned.
"""

CaseValue: TypeAlias = float | tuple[float, ...]
"""What a case has of a feature: a number, 1 or 0 for yes or no, or its share in each bin."""


class FeatureGroup(BaseModel):
    """Features of one kind: one for each input, target or axis.

    Attributes:
        name: First part of the features' names.
        title: For headings, without the unit.
        about: See `About`.
        form: See `Form`.
        role: See `Role`.
        unit: Of the range; empty for yes or no.
        digits: Decimal places that are shown.
        note: A sentence on how it is worked out; empty for none.
        phrase: For yes or no: what patients do who have it, before the title, as in "have no lesion".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    about: About
    form: Form
    role: Role
    unit: str = ""
    digits: int = Field(default=0, ge=0, le=6)
    note: str = ""
    phrase: str = "have"


class DriftLimits(BaseModel):
    """Distances between hospitals' images above which drift is expected, as measured for one task.

    Attributes:
        same_source: Up to it, images look as if from one source, such as one scanner.
        tried: Up to it, the task's jobs were tried.
        unit: Of both: that of the features whose role is `appearance`.
        source: What images of one source come from, for example "scanner".
        evidence: How the task's job did on hospitals about `tried` apart, as a clause.
        settings: `KEY=VALUE` of the job that let hospitals drift less, beyond `tried`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    same_source: float
    tried: float
    unit: str
    source: str
    evidence: str
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Feature:
    """A histogram over patients in equal bins; the first and the last also hold what lies beyond.

    No range is found from data, so no minimum and no maximum ever leaves a site.

    Attributes:
        group: What kind of thing it is.
        of: The input, target or axis that it is about.
        title: Of that, for people.
        low: Start of the first bin.
        high: End of the last.
        bins: How many there are.
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

    It travels to the processes that read cases: an instance of a top-level class that can be pickled.
    """

    @property
    def version(self) -> int:
        """Raised when the same files would give other values, so that no cache mixes both."""

    @property
    def drift(self) -> DriftLimits | None:
        """What was measured of distances between hospitals; None if nothing was."""

    def features(self) -> tuple[Feature, ...]:
        """Return the features, in the order in which they are shown."""

    def describe(self, native: Any) -> Mapping[str, CaseValue]:
        """Return the values of a case by feature name, without a target none of those about targets.

        Args:
            native: The case as its format reads it.
        """
