"""Synthetic hospitals for brain tumors, as a task offers them: the demo's four, or others by options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from consilium.errors import ConfigurationError
from consilium.settings import Settings
from consilium.tasks.synthetic import CohortProgress, GeneratedCohort

if TYPE_CHECKING:
    from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec


_SOURCE: Final = "these options (see consilium cohort --options)"


class CohortOptions(Settings):
    """What can be changed about the hospitals of the demo."""

    hospitals: dict[str, str] | None = Field(
        default=None,
        description="In place of the demo's four: hospitals.NAME=LAYOUT:CASES for each, such as "
        "hospitals.north=brats2021:6. Layouts: brats2020, brats2021, brats2023, decathlon. Scanners take "
        "turns.",
    )
    spacing: float = Field(default=2.0, description="Edge of a voxel in mm, 0.5 to 4; without it, 2.")
    size: str | None = Field(
        default=None,
        description="Voxels, XxYxZ; without it, what a head needs: 96x112x88 at 2 mm, 240x240x155 at 1 mm.",
    )
    seed: int = Field(default=0, description="Another number makes other patients.")
    tumor_mix: dict[str, float] | None = Field(
        default=None,
        description="Weights of tumors by size: tumor_mix.small=N (20 to 45 mL), tumor_mix.medium=N (45 to "
        "90 mL), tumor_mix.large=N (90 to 150 mL); a size that is not named does not occur.",
    )
    missing_et: float | None = Field(
        default=None, description="Share of patients without enhancing tumor, 0 to 1; without it, the demo's."
    )
    cropped: float | None = Field(
        default=None,
        description="Share of patients whose images lack the base of the brain, often its top, too, 0 to 1; "
        "without it, none.",
    )
    resected: float | None = Field(
        default=None,
        description="Share of patients after an operation, with a cavity where most of the tumor core was, "
        "0 to 1; without it, none.",
    )


@dataclass(frozen=True)
class BrainTumorHospitals:
    """Real anatomy, simulated gliomas, a different scanner in each hospital.

    Args:
        spec: What the cohort holds; None for that of the demo. What makes images loads when it is needed.
        evaluators: See `SyntheticCohort`.
    """

    spec: CohortSpec | None = None
    evaluators: frozenset[str] = frozenset({"dahlia"})

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Names of the hospitals."""
        return tuple(one.name for one in self._specification().hospitals)

    @property
    def test_fractions(self) -> Mapping[str, float]:
        """Share of the patients that hospitals of the demo test on."""
        from consilium.tasks.brain_tumor.synthetic.demo import DEMO_TEST_FRACTIONS

        return DEMO_TEST_FRACTIONS

    @property
    def cases(self) -> int:
        """How many patients all hospitals have."""
        return sum(one.cases for one in self._specification().hospitals)

    @property
    def options(self) -> Mapping[str, str]:
        """What `specify` takes; see `CohortOptions`."""
        return {name: field.description or "" for name, field in CohortOptions.model_fields.items()}

    def specify(self, options: Mapping[str, Any]) -> BrainTumorHospitals:
        """Return the cohort with other options than the demo's; see `CohortOptions`.

        Example:
            >>> BrainTumorHospitals().specify({"hospitals": {"north": "brats2021:3"}}).hospitals
            ('north',)

        Raises:
            ConfigurationError: If one is unknown or can't be used.
        """
        return replace(self, spec=_specification(CohortOptions.parse(options, source=_SOURCE)))

    def make(
        self,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        workers: int = 1,
        progress: CohortProgress | None = None,
    ) -> GeneratedCohort:
        """Make the hospitals; see `make_cohort`."""
        from consilium.tasks.brain_tumor.synthetic.cohort import make_cohort

        spec = self._specification()
        if only is not None:
            chosen = tuple(one for one in spec.hospitals if one.name in only)
            spec = spec.model_copy(update={"hospitals": chosen})
        return make_cohort(spec, folder, workers=workers, progress=progress)

    def _specification(self) -> CohortSpec:
        from consilium.tasks.brain_tumor.synthetic.demo import DEMO_COHORT

        return self.spec or DEMO_COHORT


def _specification(options: CohortOptions) -> CohortSpec:
    """Turn options into a specification."""
    from consilium.tasks.brain_tumor.synthetic.demo import DEMO_COHORT
    from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec

    demo = [hospital.model_dump(mode="json") for hospital in DEMO_COHORT.hospitals]
    chosen = demo
    if options.hospitals:
        chosen = [
            {**_hospital(name, text), "scanner": demo[place % len(demo)]["scanner"]}
            for place, (name, text) in enumerate(options.hospitals.items())
        ]
    shares = {name: getattr(options, name) for name in ("missing_et", "cropped", "resected")}
    for one in chosen:
        if options.tumor_mix is not None:
            one["tumor_mix"] = {"small": 0.0, "medium": 0.0, "large": 0.0, **options.tumor_mix}
        one |= {name: share for name, share in shares.items() if share is not None}
    shape = _size_for(options.spacing) if options.size is None else _size(options.size)
    return CohortSpec.parse(
        {
            "hospitals": chosen,
            "grid": {"shape": shape, "spacing_mm": options.spacing},
            "seed": options.seed,
        },
        source=_SOURCE,
    )


def _hospital(name: str, text: str) -> dict[str, Any]:
    """Read `LAYOUT:CASES`."""
    layout, colon, cases = text.partition(":")
    if not (colon and cases.isdecimal()):
        raise ConfigurationError(
            f"hospitals.{name}={text} is not NAME=LAYOUT:CASES; write for example hospitals.north=brats2021:6"
        )
    return {"name": name, "layout": layout, "cases": int(cases)}


def _size(text: str) -> tuple[int, ...]:
    """Read `XxYxZ`."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ConfigurationError(f"size={text} is not XxYxZ in voxels; write for example size=96x112x88")
    return tuple(int(part) for part in parts)


def _size_for(spacing: float) -> tuple[int, ...]:
    """The usual grid at a spacing: that of BraTS at 1 mm, else what a head needs, in multiples of 8."""
    if spacing == 1:
        return (240, 240, 155)
    return tuple(8 * round(extent / max(spacing, 0.5) / 8 + 0.49) for extent in (192, 224, 176))
