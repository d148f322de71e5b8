"""Base class of tasks that segment volumes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from typing_extensions import Self

from consilium.data.problem_code import ProblemCode
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.presentation import Presentation
from consilium.tasks.pretrained import PublishedWeights
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.evaluation import SegmentationEvaluation
from consilium.tasks.segmentation.presentation import SlicePresentation
from consilium.tasks.segmentation.regions import Region
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings

if TYPE_CHECKING:
    from consilium.tasks.segmentation.bundle.content import SegmentationBundling
    from consilium.tasks.segmentation.cases import SegmentationCases
    from consilium.tasks.segmentation.features import VolumeFeatures
    from consilium.tasks.segmentation.method import SegmentationMethod
    from consilium.tasks.segmentation.prediction import SegmentationPrediction


_STATED: Final = ("name", "title", "inputs", "targets", "settings_type", "penalty_mm")


class SegmentationTask(ABC):
    """A `Task` whose targets are regions of volumes.

    A problem's subclass states its name, title, inputs, targets and `penalty_mm`, has a subclass of
    `SegmentationSettings` with its name and defaults, and says how its cases are read and what is counted
    about them. What else is particular to it, such as networks, it gives in a `method` of its own.

    Raises:
        TypeError: If the subclass doesn't state one of them; raised when the task is registered.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]
    targets: ClassVar[tuple[Region, ...]]
    settings_type: ClassVar[type[SegmentationSettings]]
    penalty_mm: ClassVar[float]
    """HD95 of a region that only one of prediction and reference has, about the diagonal of an image."""
    codes: ClassVar[tuple[type[ProblemCode], ...]] = (VolumeCode,)
    pretrained: ClassVar[tuple[PublishedWeights, ...]] = ()

    def __new__(cls, *_args: object, **_options: object) -> Self:
        """Check that the problem states what every segmentation must."""
        for attribute in _STATED:
            if not hasattr(cls, attribute):
                raise TypeError(f"{cls.__name__} doesn't state {attribute}; see SegmentationTask.{attribute}")
        if not 0 < cls.penalty_mm < math.inf:
            raise TypeError(
                f"{cls.__name__}.penalty_mm is {cls.penalty_mm}; allowed: a positive length in mm, about the "
                "diagonal of an image"
            )
        return super().__new__(cls)

    @property
    @abstractmethod
    def cases(self) -> SegmentationCases:
        """How its cases are found, read and prepared."""

    @property
    @abstractmethod
    def statistics(self) -> VolumeFeatures:
        """What is counted about patients before any training."""

    @property
    def method(self) -> SegmentationMethod:
        """How the regions are learned; torch and MONAI load with it."""
        from consilium.tasks.segmentation.method import SegmentationMethod

        return SegmentationMethod(self.inputs, self.targets)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Dice and HD95 of each region, and their means."""
        return SegmentationEvaluation(self.targets, penalty_mm=self.penalty_mm)

    @cached_property
    def presentation(self) -> Presentation | None:
        """Slices of a case with the regions that a model found."""
        return SlicePresentation(self.inputs, self.targets)

    @property
    def prediction(self) -> SegmentationPrediction:
        """Label maps, probabilities and volumes of the regions."""
        from consilium.tasks.segmentation.prediction import SegmentationPrediction

        return SegmentationPrediction(self.targets, self.cases.labels)

    @property
    def bundling(self) -> SegmentationBundling:
        """Label maps of the regions, prepared as in training."""
        from consilium.tasks.segmentation.bundle.content import SegmentationBundling

        return SegmentationBundling(self.cases, self.targets, self.prediction)
