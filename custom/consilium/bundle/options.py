"""What people say about a bundle, beside what the model and its job say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOT_CLINICAL: Final = "Research only, not for clinical use."
INTENDED_USE: Final = (
    "Research on images like those that the model was trained on; results are to be checked by an expert"
)


@dataclass(frozen=True)
class BundleOptions:
    """What a user states about a bundle.

    Attributes:
        version: Of the bundle.
        authors: Authors of the model; None for the sites of the job.
        license: Of the weights; None if unknown.
        intended_use: What the model is for; that it is not for clinical use is always added.
    """

    version: str = "0.1.0"
    authors: str | None = None
    license: str | None = None
    intended_use: str = INTENDED_USE

    @property
    def purpose(self) -> str:
        """The intended use, and that it is not a clinical one."""
        return f"{self.intended_use.rstrip('. ')}. {NOT_CLINICAL}"
