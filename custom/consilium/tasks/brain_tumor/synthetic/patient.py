"""Synthetic patients: anatomy, tumor and scanner combined."""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from consilium.tasks.brain_tumor.synthetic.atlas import Atlas
from consilium.tasks.brain_tumor.synthetic.delineation import move_margin
from consilium.tasks.brain_tumor.synthetic.field_of_view import short_field
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.head import Head, grow_head
from consilium.tasks.brain_tumor.synthetic.healthy_signs import grow_healthy_signs
from consilium.tasks.brain_tumor.synthetic.resection import resect
from consilium.tasks.brain_tumor.synthetic.scanner import Modality, acquire
from consilium.tasks.brain_tumor.synthetic.signal import make_specimen
from consilium.tasks.brain_tumor.synthetic.spec import HospitalSpec
from consilium.tasks.brain_tumor.synthetic.tumor import Label, LabelMap, grow_tumor, plan_tumor


@dataclass(frozen=True)
class Patient:
    """One finished patient; arrays are `(X, Y, Z)`, axes toward right, anterior and superior.

    Args:
        images: One image a modality.
        label: The truth as the hospital's raters draw it, in the numbering of `Label`.
    """

    images: dict[Modality, np.ndarray[Any, np.dtype[np.int16]]]
    label: LabelMap


def make_patient(atlas: Atlas, grid: VoxelGrid, hospital: HospitalSpec, index: int, seed: int) -> Patient:
    """Make one patient of a hospital.

    Args:
        atlas: The average head, loaded for the grid's spacing.
        grid: The stored grid.
        hospital: The hospital.
        index: The patient's number, from 0.
        seed: The cohort's seed.
    """
    entropy = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(hospital.name.encode()), index))
    # A new one comes last: the sources of the others, and so all that was made before, stay as they are.
    plan_rng, head_rng, tumor_rng, scan_rng, healthy_rng, field_rng, surgery_rng = (
        np.random.default_rng(child) for child in entropy.spawn(7)
    )
    low_grade = _is_dealt(hospital.missing_et, index)
    plan = plan_tumor(atlas, hospital.tumor_mix, enhancing=not low_grade, rng=plan_rng)
    head = grow_head(atlas, grid, plan.mass, head_rng)
    tumor = grow_tumor(head, plan, tumor_rng)
    healthy = grow_healthy_signs(head, healthy_rng)
    if _is_dealt(hospital.resected, index, turn=0.25):
        head, tumor, healthy = resect(head, tumor, healthy, surgery_rng)
    specimen = make_specimen(head, tumor, healthy, scan_rng)
    field = head.brain
    if _is_dealt(hospital.cropped, index, turn=0.5):
        field = short_field(head.brain, tumor.label, grid.spacing_mm, field_rng)
    images = acquire(hospital.scanner, specimen, field, grid.spacing_mm, scan_rng)
    shown = np.where(field, tumor.label, np.uint8(Label.BACKGROUND))
    label = move_margin(shown, field, hospital.label_margin_mm, grid.spacing_mm)
    return Patient(
        images={modality: _on_grid(image, head, grid) for modality, image in images.items()},
        label=_on_grid(label, head, grid),
    )


def _is_dealt(share: float, index: int, turn: float = 0.0) -> bool:
    """Deal out a property evenly, so that every share is met exactly and no hospital has bad luck.

    Another `turn` deals to other patients, so that two properties don't always meet.
    """
    before, after = (int(count * share + turn + 1e-9) for count in (index, index + 1))
    return after > before


def _on_grid(array: np.ndarray[Any, Any], head: Head, grid: VoxelGrid) -> np.ndarray[Any, Any]:
    """Put an array from the head's box back into the stored grid."""
    whole = np.zeros(grid.shape, array.dtype)
    whole[head.box] = array
    return whole
