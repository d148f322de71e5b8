"""What a hospital decides about its part in every job."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from consilium.data.labels import LabelConvention
from consilium.learning.settings import ComputeSettings

Role = Literal["trains", "evaluates"]


class SiteSettings(ComputeSettings):
    """What the hospital decides: written in its own `local/` files, never in a job.

    Relative paths start at the site's workspace.
    """

    dataset: Path = Field(description="Folder with the hospital's cases; it is only ever read.")
    cache_dir: Path = Field(default=Path("cache"), description="Where preprocessed cases are kept.")
    cache_gib: float | None = Field(default=None, gt=0, description="Limit of the cache; default: none.")
    label_convention: LabelConvention | None = Field(
        default=None, description="What label values mean here; default: found from names and values."
    )
    max_left_out: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of the cases that may be left out; with more, the site refuses.",
    )
    role: Role = Field(
        default="trains", description="A hospital that only evaluates judges with all its patients."
    )
    min_count: int = Field(
        default=1, ge=1, description="Counts of patients below this, other than 0, never leave the site."
    )
