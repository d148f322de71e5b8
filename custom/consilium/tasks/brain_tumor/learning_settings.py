"""Learning settings of a job that segments brain tumors."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from consilium.tasks.segmentation.segmentation_settings import PatchVoxels, SegmentationSettings, SpacingMm


class BrainTumorSettings(SegmentationSettings):
    """Learning settings of brain tumor segmentation; the defaults are those of the CPU job."""

    task: Literal["brain_tumor"] = "brain_tumor"
    spacing_mm: SpacingMm = (2.0, 2.0, 2.0)
    patch_voxels: PatchVoxels = (72, 88, 80)
    modality_dropout: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Probability with which a training patch shows nothing of a modality; never all of them. "
        "Above 0, cases without some modalities are used, and can be predicted.",
    )

    missing_inputs_setting: ClassVar[str] = "modality_dropout"

    @property
    def accepts_missing_inputs(self) -> bool:
        """Whether cases without some modalities are used: if the model has learned to do without them."""
        return self.modality_dropout > 0

    @property
    def caution(self) -> str:
        """That cases without some modalities may be among those that were trained on and evaluated."""
        if not self.modality_dropout:
            return ""
        return (
            f"Trained with a modality dropout of {self.modality_dropout:g}: hospitals without T1 or T2, for "
            "example, could take part, and scores are of patients with the modalities that each hospital has."
        )
