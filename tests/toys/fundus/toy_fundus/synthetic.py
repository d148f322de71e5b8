"""Synthetic hospitals: discs, brighter and more spotted at higher grades, tinted by the camera."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from PIL import Image

from consilium.errors import ConfigurationError
from consilium.tasks.synthetic import GeneratedCohort
from toy_fundus.cases import EYES, GRADES, GRADES_FILE

_EDGE = 48
_PATIENTS = {"harbor": 32, "valley": 32, "island": 8}
_TINTS = {"harbor": (150, 70, 30), "valley": (120, 80, 50), "island": (160, 60, 40)}


@dataclass(frozen=True)
class FundusHospitals:
    """A `SyntheticCohort`: two hospitals that train and one that evaluates."""

    seed: int = 0

    options: ClassVar[dict[str, str]] = {"seed": "Another number makes other patients."}
    hospitals: ClassVar[tuple[str, ...]] = tuple(_PATIENTS)
    evaluators: ClassVar[frozenset[str]] = frozenset({"island"})
    test_fractions: ClassVar[Mapping[str, float]] = {}
    cases: ClassVar[int] = sum(_PATIENTS.values())

    def specify(self, options):
        if unknown := options.keys() - {"seed"}:
            raise ConfigurationError(f"fundus has no option {', '.join(sorted(unknown))}; it has: seed")
        return replace(self, **options)

    def make(self, folder, *, only=None, workers=1, progress=None):
        made, written = {}, 0
        for number, (name, patients) in enumerate(_PATIENTS.items()):
            if only is not None and name not in only:
                continue
            made[name] = folder / name
            if (made[name] / GRADES_FILE).is_file():  # written last
                continue
            made[name].mkdir(parents=True, exist_ok=True)
            random, lines = np.random.default_rng((self.seed, number)), ["id,grade"]
            for patient in range(patients):
                identity, grade = f"{name}-{patient:02d}", patient % len(GRADES)
                for eye in EYES:
                    photo = _draw(grade, _TINTS[name], random)
                    Image.fromarray(photo).save(made[name] / f"{identity}_{eye}.png")
                lines.append(f"{identity},{grade}")
                written += 1
                if progress:
                    progress(written, self.cases, f"{name}/{identity}")
            (made[name] / GRADES_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return GeneratedCohort(folder, made, written)


def _draw(grade, tint, random):
    y, x = np.mgrid[:_EDGE, :_EDGE] - _EDGE / 2
    photo = ((x**2 + y**2 < (_EDGE / 2 - 2) ** 2)[..., None] * np.array(tint)) * (0.2 + 0.25 * grade)
    for _ in range(4 * grade):
        row, column = random.integers(_EDGE // 4, 3 * _EDGE // 4, 2)
        photo[row : row + 3, column : column + 3] = 250
    return np.clip(photo + random.normal(0, 4, photo.shape), 0, 255).astype(np.uint8)
