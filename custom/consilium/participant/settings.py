"""What a hospital decides about its part in every job."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from consilium.errors import ConfigurationError
from consilium.learning.settings import ComputeSettings
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.segmentation.layouts import FileEndings

Role = Literal["trains", "evaluates"]


class SiteSettings(ComputeSettings):
    """What the hospital decides: written in its own `local/` files, never in a job.

    Relative paths start at the site's workspace.
    """

    dataset: Path = Field(description="Folder with the hospital's cases; it is only ever read.")
    cache_dir: Path = Field(default=Path("cache"), description="Where preprocessed cases are kept.")
    cache_gib: float | None = Field(default=None, gt=0, description="Limit of the cache; default: none.")
    state_dir: Path = Field(
        default=Path("site_state"),
        description="What the site has to remember as long as it takes part: the secret of its split, each "
        "patient's side, and who was answered about together. It is no cache.",
    )
    accepted_findings: Path | None = Field(
        default=None,
        description="CSV file `case,code,files,by,note` of findings that the hospital looked at and accepts; "
        "default: accepted_findings.csv in state_dir, where there is one.",
    )
    label_convention: LabelConvention | None = Field(
        default=None, description="What label values mean here; default: found from names and values."
    )
    patients_file: Path | None = Field(
        default=None,
        description="Which cases are of one patient: a CSV file with the columns case and patient; default: "
        "participants.tsv in the dataset folder, where it has one, and known names of follow-ups.",
    )
    file_endings: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Endings of file names to read beside the known ones: modality, or label, to endings, "
        'such as {"t1ce": ["T1_KM"]}.',
    )
    max_left_out: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the cases that may be left out; with more, the site refuses.",
    )
    role: Role = Field(
        default="trains", description="A hospital that only evaluates does so with all its patients."
    )
    validation_fraction: float = Field(
        default=0.25, gt=0, lt=1, description="Share of the patients to validate on; no job trains on them."
    )
    split_salt: str | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="In place of the secret, for simulations and tests, which have to repeat. Never at a "
        "hospital: who knows it knows which patients are validated on.",
    )
    min_count: int = Field(
        default=5,
        ge=1,
        description="Fewest patients behind a number of statistics, of the readiness check or of cases left "
        "out.",
    )
    min_training_patients: int = Field(
        default=3,
        ge=1,
        description="Fewest patients behind an update, a loss or scores. Smaller than min_count, as a "
        "quarter of a small hospital's patients has to be enough to validate on.",
    )

    local_only: bool = Field(
        default=True,
        description="Whether a job may have this hospital train a model alone as well, to compare with. The "
        "model stays here; its mean scores leave, as those of the federation's models do.",
    )

    def in_workspace(self, workspace: Path) -> SiteSettings:
        """Return the settings with their relative paths below a workspace, as the site's processes see them.

        Args:
            workspace: The site's, which is its kit's folder.
        """
        stated = {name: value for name, value in self if isinstance(value, Path)}
        return self.model_copy(update={name: workspace / path for name, path in stated.items()})

    @field_validator("file_endings")
    @classmethod
    def _require_endings(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        try:
            FileEndings(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None
        return value
