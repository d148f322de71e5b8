"""Real patients to test a model on: labeled ones, and stand-ins for patients without tumor made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from consilium.errors import ConfigurationError

MODALITIES: Final = ("t1", "t1ce", "t2", "flair")
REGIONS: Final = {"wt": (1, 2, 4), "tc": (1, 4), "et": (4,)}
"""Label values of each region, as BraTS had them from 2018 to 2022."""

CONVENTION: Final = "brats-2018"
_EDEMA: Final = 2
_LESIONS, _LESION_MM = 24, (2.0, 5.0)

Volume = NDArray[Any]


@dataclass(frozen=True)
class RealPatient:
    """One labeled patient.

    Attributes:
        folder: Of the case.
        slices: The axial slices to score; None for all.
    """

    folder: Path
    slices: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The case's name."""
        return self.folder.name

    def image(self, kind: str) -> nib.Nifti1Image:
        """Open an image of a modality, or `seg`."""
        return nib.load(self.folder / f"{self.name}_{kind}.nii.gz")

    def regions(self, label: Volume) -> dict[str, NDArray[np.bool_]]:
        """Cut a label map `(X, Y, Z)` to the scored slices, and return its regions."""
        scored = label if self.slices is None else label[:, :, list(self.slices)]
        return {name: np.isin(scored, values) for name, values in REGIONS.items()}


def find_real_patients(folder: Path) -> list[RealPatient]:
    """Find labeled cases below a folder: `NAME/NAME_seg.nii.gz`; a `slices.json` beside cases limits scoring.

    Raises:
        ConfigurationError: If there is none.
    """
    found = []
    for label in sorted(folder.glob("**/*_seg.nii.gz")):
        case = label.parent
        listing = case.parent / "slices.json"
        limits = json.loads(listing.read_text()) if listing.exists() else {}
        slices = limits.get(case.name, {}).get("complete_slices")
        found.append(RealPatient(case, None if slices is None else tuple(slices)))
    if not found:
        raise ConfigurationError(f"{folder} holds no labeled case; give --real or set CONSILIUM_REAL_DATA")
    return found


def make_tumor_free(patients: list[RealPatient], folder: Path) -> list[Path]:
    """Write stand-ins for patients without tumor, each once plain and once with white-matter lesions.

    There are no real ones here. The hemisphere with the tumor is replaced by the other one's mirror image, so
    the head is real but for its symmetry. The lesions are small balls in white matter, as bright as this
    patient's edema, in the number and size that multiple sclerosis or small-vessel disease make.

    Args:
        patients: Those of whole heads are used.
        folder: Where the cases go.

    Returns:
        The folder of each case.
    """
    made = []
    for patient in patients:
        if patient.slices is not None:
            continue
        affine = patient.image("seg").affine
        for kind, images in _heads(patient):
            case = folder / f"{patient.name}-{kind}"
            made.append(case)
            if all((case / f"{case.name}_{name}.nii.gz").exists() for name in images):
                continue
            case.mkdir(parents=True, exist_ok=True)
            for name, image in images.items():
                nib.save(nib.Nifti1Image(image, affine), case / f"{case.name}_{name}.nii.gz")
    return made


def _heads(patient: RealPatient) -> Iterator[tuple[str, dict[str, Volume]]]:
    images = {name: np.asarray(patient.image(name).dataobj) for name in MODALITIES}
    label = np.asarray(patient.image("seg").dataobj)
    mirrored, middle = _mirror(images["t1"])
    tumor_first = (label > 0)[: middle // 2].sum() > (label > 0)[middle // 2 :].sum()
    replaced = (np.arange(label.shape[0]) * 2 < middle) == tumor_first
    healthy = {
        name: np.where(replaced[:, None, None], image[mirrored], image) for name, image in images.items()
    }
    yield "mirrored", healthy
    free = np.where(replaced[:, None, None], label[mirrored], label) == 0
    spots = _lesions(healthy, free)
    edema = {name: float(np.median(image[label == _EDEMA])) for name, image in images.items()}
    yield (
        "lesions",
        {
            name: np.rint(image + spots * (edema[name] - image)).astype(image.dtype)
            for name, image in healthy.items()
        },
    )


def _mirror(image: Volume) -> tuple[NDArray[np.intp], int]:
    """The index of each sagittal plane's mirror image, and twice the position of the middle of the head.

    The middle is where the image is most like its mirror image.
    """
    size = image.shape[0]
    profile = np.asarray(image, np.float32)
    index = np.arange(size)

    def difference(middle: int) -> float:
        return float(np.abs(profile - profile[np.clip(middle - index, 0, size - 1)]).mean())

    middle = min(range(size - 25, size + 25), key=difference)
    return np.clip(middle - index, 0, size - 1), middle


def _lesions(images: dict[str, Volume], free: Volume) -> NDArray[np.float32]:
    """Share of lesion in each voxel, `(X, Y, Z)`: balls with soft edges in deep white matter."""
    rng = np.random.default_rng(0)
    brain = images["t1"] > 0
    depth = ndimage.distance_transform_edt(brain)
    bright = images["t1"] > np.percentile(images["t1"][brain], 60)
    white = ndimage.gaussian_filter((bright & free).astype(np.float32), 2) > 0.8
    seats = np.argwhere(white & (depth > 20))
    shares = np.zeros(brain.shape, np.float32)
    for seat in seats[rng.choice(len(seats), _LESIONS, replace=False)]:
        radius = rng.uniform(*_LESION_MM)
        first = np.maximum(seat - 8, 0)
        box = tuple(slice(low, low + 17) for low in first)
        offset = np.stack(np.meshgrid(*[np.arange(low, low + 17) for low in first], indexing="ij"))
        distance = np.sqrt(((offset - seat.reshape(3, 1, 1, 1)) ** 2).sum(axis=0))
        shape = shares[box].shape
        ball = np.clip(radius + 0.5 - distance, 0, 1)[: shape[0], : shape[1], : shape[2]]
        shares[box] = np.maximum(shares[box], 0.9 * ball)
    return shares * brain
