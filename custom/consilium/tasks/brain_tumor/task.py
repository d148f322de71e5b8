"""Brain tumor segmentation on four-contrast MRI, as in the BraTS challenges."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final

from consilium.data.problem_code import ProblemCode
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.brain_tumor.features import head_features
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.brain_tumor.lesions import GLIOMA_LESIONS, PENALTY_MM
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.presentation import Presentation
from consilium.tasks.pretrained import PublishedWeights
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.evaluation import SegmentationEvaluation
from consilium.tasks.segmentation.features import VolumeFeatures
from consilium.tasks.segmentation.presentation import SlicePresentation
from consilium.tasks.segmentation.regions import Region
from consilium.tasks.segmentation.task import SegmentationTask

if TYPE_CHECKING:
    from consilium.tasks.brain_tumor.method import BrainTumorMethod
    from consilium.tasks.segmentation.bundle.content import SegmentationBundling
    from consilium.tasks.segmentation.cases import SegmentationCases
    from consilium.tasks.segmentation.prediction import SegmentationPrediction
    from consilium.tasks.synthetic import SyntheticCohort


TITLES: Final = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
"""Titles of the inputs, in their order."""


_ON_GPU: Final[Mapping[str, Any]] = {
    "rounds": 100,
    "min_sites": 2,
    "gpus_per_site": 1,
    "task_request_seconds": 15.0,
    "learning": {
        "network": "segresnet",
        "spacing_mm": 1.0,
        "patch_voxels": [128, 128, 128],
        "batch_size": 2,
        "local_steps": None,
        "local_epochs": 2,
        "learning_rate": 2e-4,
        "window_overlap": 0.5,
    },
}


class BrainTumor(SegmentationTask):
    """Segment the three nested regions of a glioma from T1, contrast-enhanced T1, T2 and FLAIR.

    Regions overlap (ET inside TC inside WT), so each output channel is a binary problem of its own with a
    sigmoid, in MONAI's order TC, WT, ET. The definitions are those of Menze et al. 2015, doi
    10.1109/TMI.2014.2377694.
    """

    name: ClassVar[str] = "brain_tumor"
    title: ClassVar[str] = "Brain tumor segmentation"
    inputs: ClassVar[tuple[str, ...]] = tuple(TITLES)
    targets: ClassVar[tuple[Region, ...]] = (
        Region("tc", "Tumor core", frozenset({Tissue.NECROTIC_CORE, Tissue.ENHANCING})),
        Region("wt", "Whole tumor", frozenset({Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING})),
        Region("et", "Enhancing tumor", frozenset({Tissue.ENHANCING})),
    )
    settings_type: ClassVar[type[BrainTumorSettings]] = BrainTumorSettings
    penalty_mm: ClassVar[float] = PENALTY_MM
    codes: ClassVar[tuple[type[ProblemCode], ...]] = (VolumeCode, BrainCode)

    pretrained: ClassVar[tuple[PublishedWeights, ...]] = (
        # Its metadata has the channels T1c, T1, T2, FLAIR and tumor core, whole tumor, enhancing tumor.
        PublishedWeights(
            name="MONAI brats_mri_segmentation",
            license="Apache-2.0; trained on BraTS 2018, whose terms ask to cite Menze 2015 and Bakas 2017",
            network="segresnet",
            inputs=("t1ce", "t1", "t2", "flair"),
            targets=("tc", "wt", "et"),
            first="convInit.conv.weight",
            last=("conv_final.2.conv.weight", "conv_final.2.conv.bias"),
        ),
    )

    @cached_property
    def evaluation(self) -> Evaluation:
        """Dice and HD95 of each region; of a finished model all metrics, the lesion-wise among them."""
        return SegmentationEvaluation(self.targets, penalty_mm=self.penalty_mm, lesions=GLIOMA_LESIONS)

    @cached_property
    def presentation(self) -> Presentation | None:
        """Slices with the regions that a model found, FLAIR and contrast-enhanced T1 first."""
        return SlicePresentation(
            self.inputs,
            self.targets,
            preferred=("flair", "t1ce"),
            titles=TITLES,
        )

    @cached_property
    def statistics(self) -> VolumeFeatures:
        """What is counted about patients before any training."""
        return head_features(TITLES, self.targets)

    jobs: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fedavg": {"rounds": 16, "min_sites": 2},
        "fedavg_gpu": _ON_GPU,
        "fedprox": {"rounds": 16, "min_sites": 2},
        "fedavgm": {"rounds": 16, "min_sites": 2},
        "fedadam": {"rounds": 16, "min_sites": 2},
        "fedyogi": {"rounds": 16, "min_sites": 2},
        # Only where sites take different numbers of steps does it differ from federated averaging.
        "fednova": {"rounds": 16, "min_sites": 2, "learning": {"local_steps": None, "local_epochs": 1.0}},
        "fedpid": {"rounds": 16, "min_sites": 2},
        "scaffold": {"rounds": 16, "min_sites": 2},
        # The small network has no affine parameters in its normalization.
        "fedbn": _ON_GPU,
        # A round is one hospital's turn: with two to four hospitals, each has 12 to 6 of them.
        "cyclic": {"rounds": 24, "min_sites": 2},
        "dp_sgd": {
            "rounds": 16,
            "min_sites": 2,
            "learning": {"batch_size": 16, "local_steps": 10, "learning_rate": 1e-3},
        },
        "fedavg_secagg": {"rounds": 16},
        "ditto": {"rounds": 16, "min_sites": 2},
        "swarm": {"rounds": 16},
        "check": {"min_sites": 2},
        "stats": {"min_sites": 2},
    }

    @cached_property
    def synthetic(self) -> SyntheticCohort:
        """The hospitals of the demo; making them takes the extra `cohort`."""
        from consilium.tasks.brain_tumor.synthetic.hospitals import BrainTumorHospitals

        return BrainTumorHospitals()

    @cached_property
    def cases(self) -> SegmentationCases:
        """How its cases are found, read and prepared."""
        from consilium.tasks.brain_tumor.cases import CASES

        return CASES

    @cached_property
    def method(self) -> BrainTumorMethod:
        """How the regions are learned; torch and MONAI load with it."""
        from consilium.tasks.brain_tumor.method import BrainTumorMethod

        return BrainTumorMethod(self.inputs, self.targets)

    @property
    def prediction(self) -> SegmentationPrediction:
        """Label maps as BraTS has them since 2023, unless another convention is asked for."""
        from consilium.tasks.brain_tumor.label_conventions import LabelConvention
        from consilium.tasks.segmentation.prediction import SegmentationPrediction

        return SegmentationPrediction(self.targets, self.cases.labels, LabelConvention.BRATS_2023.value)

    @property
    def bundling(self) -> SegmentationBundling:
        """Bundles of MRI, with the publication that defines the regions."""
        from consilium.tasks.segmentation.bundle.content import SegmentationBundling

        return SegmentationBundling(
            self.cases,
            self.targets,
            self.prediction,
            modality="MR",
            titles=TITLES,
            references=(
                "Menze et al. 2015, The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), "
                "doi 10.1109/TMI.2014.2377694",
            ),
        )
