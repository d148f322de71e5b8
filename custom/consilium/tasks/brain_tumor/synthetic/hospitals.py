"""Synthetic hospitals for brain tumors, as a task offers them: the demo's four, or others by options."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consilium.errors import ConfigurationError
from consilium.tasks.synthetic import CohortProgress, GeneratedCohort

if TYPE_CHECKING:
    from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec


@dataclass(frozen=True)
class BrainTumorHospitals:
    """Real anatomy, simulated gliomas, a different scanner in each hospital.

    Args:
        spec: What the cohort holds; None for that of the demo. What makes images loads when it is needed.
    """

    spec: CohortSpec | None = None
    evaluators: frozenset[str] = frozenset({"dahlia"})

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Names of the hospitals."""
        return tuple(one.name for one in self._specification().hospitals)

    @property
    def cases(self) -> int:
        """How many patients all hospitals have."""
        return sum(one.cases for one in self._specification().hospitals)

    def specify(self, options: Mapping[str, Any]) -> BrainTumorHospitals:
        """Return the cohort with options of `consilium cohort`.

        Raises:
            ConfigurationError: If one can't be used.
        """
        return replace(self, spec=_specification(options))

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


def _specification(options: Mapping[str, Any]) -> CohortSpec:
    """Turn options of `consilium cohort` into a specification."""
    from consilium.tasks.brain_tumor.synthetic.demo import DEMO_COHORT
    from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec

    demo = [hospital.model_dump(mode="json") for hospital in DEMO_COHORT.hospitals]
    chosen = demo
    if options.get("hospital"):
        scanners = [hospital["scanner"] for hospital in demo]
        chosen = [
            {**_hospital(text), "scanner": scanners[index % len(scanners)]}
            for index, text in enumerate(options["hospital"])
        ]
    for one in chosen:
        if "tumor-mix" in options:
            one["tumor_mix"] = _tumor_mix(options["tumor-mix"])
        if "missing-et" in options:
            one["missing_et"] = options["missing-et"]
    spacing = options.get("spacing", 2.0)
    shape = _size(options["size"]) if "size" in options else _size_for(spacing)
    return CohortSpec.parse(
        {
            "hospitals": chosen,
            "grid": {"shape": shape, "spacing_mm": spacing},
            "seed": options.get("seed", 0),
        },
        source="these options (see consilium cohort --help)",
    )


def _hospital(text: str) -> dict[str, Any]:
    """Read `NAME=LAYOUT:CASES`."""
    name, equals, rest = text.partition("=")
    layout, colon, cases = rest.partition(":")
    if not (equals and colon and cases.isdecimal()):
        raise ConfigurationError(
            f"--hospital {text!r} is not NAME=LAYOUT:CASES. Write for example: --hospital north=brats2021:6"
        )
    return {"name": name, "layout": layout, "cases": int(cases)}


def _tumor_mix(text: str) -> dict[str, float]:
    """Read `small=1,medium=2,large=1`; a size that is not named does not occur."""
    mix = {"small": 0.0, "medium": 0.0, "large": 0.0}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        try:
            if name not in mix:
                raise ValueError(name)
            mix[name] = float(weight)
        except ValueError:
            raise ConfigurationError(
                f"--tumor-mix {text!r}: {part!r} is not SIZE=WEIGHT, with size small, medium or large. "
                "Write for example: --tumor-mix small=1,medium=2,large=1"
            ) from None
    return mix


def _size(text: str) -> tuple[int, ...]:
    """Read `XxYxZ`."""
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise ConfigurationError(
            f"--size {text!r} is not XxYxZ in voxels. Write for example: --size 96x112x88"
        )
    return tuple(int(part) for part in parts)


def _size_for(spacing: float) -> tuple[int, ...]:
    """The usual grid at a spacing: that of BraTS at 1 mm, else what a head needs, in multiples of 8."""
    if spacing == 1:
        return (240, 240, 155)
    return tuple(8 * round(extent / max(spacing, 0.5) / 8 + 0.49) for extent in (192, 224, 176))
