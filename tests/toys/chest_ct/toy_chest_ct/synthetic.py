"""Synthetic hospitals: an oval body in air with two lungs and a few bright lesions in them."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar

import nibabel as nib
import numpy as np

from consilium.errors import ConfigurationError
from consilium.tasks.synthetic import CohortProgress, GeneratedCohort

AIR, LUNG, TISSUE, LESION = -1000, -850, 40, 80
SHAPE, SPACING_MM = (96, 72, 24), (3.0, 3.0, 6.0)


class ChestHospitals:
    """Two hospitals, of which one has the noisier scanner."""

    hospitals = ("elm", "fir")
    evaluators: ClassVar[frozenset[str]] = frozenset()
    test_fractions: ClassVar[Mapping[str, float]] = {}
    patients, cases = 8, 16
    options: ClassVar[Mapping[str, str]] = {}

    def specify(self, options: Mapping[str, Any]) -> "ChestHospitals":
        """Refuse every option."""
        raise ConfigurationError(f"chest_ct has no option {', '.join(options)}")

    def make(
        self,
        folder: Path,
        *,
        only: Collection[str] | None = None,
        workers: int = 1,
        progress: CohortProgress | None = None,
    ) -> GeneratedCohort:
        """Write what is not there yet."""
        homes = {name: folder / name for name in self.hospitals if only is None or name in only}
        scans = [(home, number) for home in homes.values() for number in range(self.patients)]
        missing = [(home, number) for home, number in scans if not _path(home, number, "mask").exists()]
        for done, (home, number) in enumerate(missing, 1):
            home.mkdir(parents=True, exist_ok=True)
            index = self.hospitals.index(home.name)
            image, label = make_scan(seed=100 * index + number, noise=10.0 + 30 * index)
            for kind, array in (("ct", image), ("mask", label)):
                volume = nib.Nifti1Image(array, np.diag([*SPACING_MM, 1.0]))
                volume.to_filename(_path(home, number, kind))
            if progress:
                progress(done, len(missing), f"{home.name}/patient{number:02}")
        return GeneratedCohort(folder, homes, len(missing))


def make_scan(*, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an image in HU, int16, and where its lesions are, uint8, both `(X, Y, Z)`."""
    random = np.random.default_rng(seed)
    places = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING_MM
    middle = (np.array(SHAPE) - 1) / 2 * SPACING_MM
    image = np.full(SHAPE, float(AIR))
    image[_ball(places, middle, (125 + random.uniform(-10, 10), 90, 500))] = TISSUE
    label = np.zeros(SHAPE, np.uint8)
    for side in (-55, 55):
        center = middle + np.array((side, 0, 0))
        image[_ball(places, center, (42, 65, 62))] = LUNG
        lesion = center + random.uniform(-1, 1, 3) * (15, 25, 20)
        label[_ball(places, lesion, random.uniform(10, 18))] = 1
    image[label > 0] = LESION
    image[image > AIR] += random.normal(0, noise, (image > AIR).sum())
    return np.rint(image).astype(np.int16), label


def _ball(places: np.ndarray, center: np.ndarray, radii: Any) -> np.ndarray:
    return (((places - center) / radii) ** 2).sum(axis=-1) < 1


def _path(home: Path, number: int, kind: str) -> Path:
    return home / f"patient{number:02}_{kind}.nii.gz"
