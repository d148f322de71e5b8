"""What the sites of a federation answered to the readiness check: who can train, and who must mend what."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from consilium.data.files import write_atomically
from consilium.report.records import Record

READINESS_FILE = "readiness.json"
"""Name of the record in the server's run folder."""

Count = int | None
"""A number of cases; None where it is more than 0 and less than the site's minimum, and so never left it."""


class Grid(Record):
    """What the site's images look like: medians over its usable cases."""

    shape: tuple[int, int, int] = Field(description="Voxels along each axis of the stored images.")
    spacing_mm: tuple[float, float, float] = Field(description="Edges of a voxel along the same axes.")


class Hardware(Record):
    """What a job may use of the site's machine."""

    cores: int = Field(ge=1)
    memory_gib: float = Field(gt=0)
    gpus_gib: list[float] = Field(default_factory=list, description="Memory of each GPU.")
    free_disk_gib: float = Field(ge=0, description="Where the site keeps its cache.")


class SiteReadiness(Record):
    """One site's answer: counts and codes, nothing about a patient."""

    can: Literal["train", "evaluate", "nothing"]
    role: Literal["trains", "evaluates"] = Field(default="trains", description="What the hospital decided.")
    reason: str | None = Field(default=None, description="Why it can't train.")
    usable_cases: Count = Field(default=0, description="Labeled cases without an error.")
    left_out: dict[str, Count] = Field(default_factory=dict, description="Cases with an error, by code.")
    noted: dict[str, Count] = Field(default_factory=dict, description="Findings of lower severity, by code.")
    layout: str | None = None
    label_convention: str | None = None
    grid: Grid | None = Field(default=None, description="Null for fewer cases than the site's minimum.")
    hardware: Hardware
    versions: dict[str, str] = Field(default_factory=dict)


class ReadinessRecord(Record):
    """All sites' answers to one check."""

    job: str
    task: str = Field(description="What is to be learned: `brain_tumor`.")
    created: float = Field(default_factory=time.time, description="Unix time in seconds.")
    sites: dict[str, SiteReadiness] = Field(default_factory=dict)
    missing: dict[str, str] = Field(
        default_factory=dict, description="Sites without an answer that counts, and why."
    )

    @property
    def able_to_train(self) -> list[str]:
        """Sites that can train, by name."""
        return sorted(name for name, site in self.sites.items() if site.can == "train")

    @property
    def not_ready(self) -> list[str]:
        """Sites that can't do what their hospitals decided, or did not answer, by name."""
        able = {
            name
            for name, site in self.sites.items()
            if site.can == "train" or (site.can == "evaluate" and site.role == "evaluates")
        }
        return sorted((self.sites.keys() | self.missing.keys()) - able)

    def save(self, path: Path) -> None:
        """Write the record into a folder, which is made where needed; a crash leaves the one before it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self.model_dump_json(indent=1).encode())

    @classmethod
    def load(cls, path: Path) -> ReadinessRecord:
        """Read a record.

        Raises:
            FileNotFoundError: If there is none.
            ValidationError: If it can't be read.
        """
        return cls.model_validate_json(path.read_text())


def suppress(counts: Mapping[str, int], minimum: int) -> dict[str, Count]:
    """Take the counts that are too small to leave a site out of what it says.

    Args:
        counts: Number of cases by code.
        minimum: The site's: smaller numbers than this become None. 0 says nothing about a patient and stays.
    """
    return {code: _suppressed(count, minimum) for code, count in counts.items()}


def _suppressed(count: int, minimum: int) -> Count:
    return None if 0 < count < minimum else count


def count_text(count: Count) -> str:
    """Return a number of cases for people: `few` where it never left its site."""
    return "few" if count is None else str(count)


def explain(name: str, record: ReadinessRecord) -> str:
    """Say in one line why a site can't train, by its codes; `ready` if it can."""
    if name not in record.sites:
        return record.missing.get(name, "not in the check")
    site = record.sites[name]
    if site.can == "train":
        return "ready"
    codes = ", ".join(f"{count_text(count)} {code}" for code, count in site.left_out.items())
    return f"{site.reason or 'it only evaluates'}{f' (left out: {codes})' if codes else ''}"
