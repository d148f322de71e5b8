"""Cohorts: several synthetic hospitals in one folder."""

import json
import multiprocessing
import shutil
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from consilium.data.synthetic.anatomy import Atlas, Grid, Head, grow_head, load_atlas
from consilium.data.synthetic.scanner import Modality, Scanner, acquire
from consilium.data.synthetic.signal import Sequence, make_specimen
from consilium.data.synthetic.tumor import LabelMap, TumorMix, grow_tumor, plan_tumor
from consilium.data.synthetic.writers import Layout, case_name, case_paths, finish_hospital, write_case
from consilium.errors import ConfigurationError

Progress = Callable[[int, int, str], None]
"""Called after each case with the cases done, the cases to do, and `hospital/case`."""


class HospitalSpec(BaseModel):
    """One synthetic hospital.

    Args:
        name: Its folder, and what its patients are seeded from: another hospital's presence changes nothing here.
        layout: How it stores its cases.
        cases: How many patients it has.
        scanner: What it images them with.
        missing_et: Share of patients without enhancing tumor (low-grade gliomas), 0 to 1. Dealt out evenly, so a
            hospital of 10 with 0.2 has exactly 2.
        tumor_mix: How often each tumor size occurs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    layout: Layout
    cases: int = Field(ge=1, le=9999)
    scanner: Scanner = Scanner()
    missing_et: float = Field(default=0.2, ge=0, le=1)
    tumor_mix: TumorMix = TumorMix()


class CohortSpec(BaseModel):
    """What a cohort holds; the same specification makes the same arrays, whatever machine or number of workers.

    Args:
        hospitals: The hospitals, of different names.
        grid: The voxels that every image is stored on.
        seed: Another seed makes other patients.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hospitals: tuple[HospitalSpec, ...] = Field(min_length=1)
    grid: Grid = Grid()
    seed: int = Field(default=0, ge=0)

    @field_validator("hospitals")
    @classmethod
    def _unique_names(cls, hospitals: tuple[HospitalSpec, ...]) -> tuple[HospitalSpec, ...]:
        names = [hospital.name for hospital in hospitals]
        if len(set(names)) < len(names):
            raise ValueError(f"hospital names must differ, got {', '.join(names)}")
        return hospitals


DEMO_COHORT = CohortSpec(
    hospitals=(
        HospitalSpec(
            name="aster",
            layout=Layout.BRATS_2021,
            cases=14,
            scanner=Scanner(tesla=3.0, in_plane_mm=1.0, slice_mm=1.0, snr=45, bias=0.08, gain=2600),
        ),
        HospitalSpec(
            name="birch",
            layout=Layout.BRATS_2020,
            cases=12,
            scanner=Scanner(
                tesla=1.5,
                t1=Sequence(tr_ms=480, te_ms=15),
                t2=Sequence(tr_ms=4000, te_ms=85),
                flair=Sequence(tr_ms=8000, te_ms=95, ti_ms=2300),
                in_plane_mm=1.2,
                slice_mm=5.0,
                snr=18,
                bias=0.12,
                gain=900,
            ),
        ),
        HospitalSpec(
            name="cedar",
            layout=Layout.DECATHLON,
            cases=10,
            scanner=Scanner(
                tesla=3.0,
                t1=Sequence(tr_ms=2000, te_ms=3, ti_ms=900),
                t2=Sequence(tr_ms=3200, te_ms=120),
                flair=Sequence(tr_ms=5000, te_ms=140, ti_ms=1750),
                in_plane_mm=1.0,
                slice_mm=1.2,
                snr=30,
                bias=0.22,
                gain=5200,
            ),
        ),
        HospitalSpec(
            name="dahlia",
            layout=Layout.BRATS_2023,
            cases=4,
            missing_et=0.25,
            scanner=Scanner(
                tesla=1.0,
                t1=Sequence(tr_ms=450, te_ms=14),
                t2=Sequence(tr_ms=3000, te_ms=110),
                flair=Sequence(tr_ms=6500, te_ms=120, ti_ms=2000),
                in_plane_mm=1.8,
                slice_mm=6.5,
                snr=15,
                bias=0.16,
                gain=420,
            ),
        ),
    ),
    grid=Grid(shape=(96, 112, 88), spacing_mm=2.0),
)
"""Four hospitals on a grid that a laptop trains on; `dahlia` is the small clinic that only evaluates."""


@dataclass(frozen=True)
class Patient:
    """One finished patient on the cohort's grid; arrays are `(X, Y, Z)`, axes toward right, anterior, superior.

    Args:
        images: One image a modality.
        label: The truth, in the numbering of `Label`.
    """

    images: dict[Modality, np.ndarray[Any, np.dtype[np.int16]]]
    label: LabelMap


@dataclass(frozen=True)
class Cohort:
    """A cohort on disk.

    Args:
        folder: Its root.
        hospitals: Each hospital's folder, by name.
        written: Cases that this call made; the others were there.
    """

    folder: Path
    hospitals: dict[str, Path]
    written: int


def make_cohort(
    spec: CohortSpec, folder: Path | str, *, workers: int = 1, progress: Progress | None = None
) -> Cohort:
    """Make every hospital of a cohort under `folder`, one subfolder each.

    Safe to repeat: a complete cohort of the same specification is left alone, an interrupted one is completed. A case
    appears under its name only when it is whole. With more than one worker, a script must guard its entry point with
    `if __name__ == "__main__":`, as worker processes import it.

    Args:
        spec: What to make.
        folder: Where; made if missing.
        workers: Processes.
        progress: Told of every case.

    Returns:
        The cohort.

    Raises:
        ConfigurationError: The folder holds something else, or nilearn is not installed.
    """
    root = Path(folder)
    marker = _Marker.open(spec, root)
    jobs = [job for job in _jobs(spec, root) if not job.is_done()]
    if jobs:
        marker.write(complete=False)
        _run(jobs, spec, root, workers, progress)
    if jobs or not marker.complete:
        for hospital in spec.hospitals:
            cases = [case_name(hospital.layout, index) for index in range(hospital.cases)]
            finish_hospital(hospital.layout, root / hospital.name, cases)
        marker.write(complete=True)
    return Cohort(root, {hospital.name: root / hospital.name for hospital in spec.hospitals}, len(jobs))


def make_patient(atlas: Atlas, grid: Grid, hospital: HospitalSpec, index: int, seed: int) -> Patient:
    """Make one patient of a hospital.

    Args:
        atlas: The average head, loaded for the grid's spacing.
        grid: The stored grid.
        hospital: The hospital.
        index: The patient's number, from 0.
        seed: The cohort's seed.
    """
    entropy = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(hospital.name.encode()), index))
    plan_rng, head_rng, tumor_rng, scan_rng = (np.random.default_rng(child) for child in entropy.spawn(4))
    low_grade = int((index + 1) * hospital.missing_et) > int(index * hospital.missing_et)
    plan = plan_tumor(atlas, hospital.tumor_mix, enhancing=not low_grade, rng=plan_rng)
    head = grow_head(atlas, grid, plan.mass, head_rng)
    tumor = grow_tumor(head, plan, tumor_rng)
    specimen = make_specimen(head, tumor, scan_rng)
    images = acquire(hospital.scanner, specimen, head.brain, grid.spacing_mm, scan_rng)
    return Patient(
        images={modality: _on_grid(image, head, grid) for modality, image in images.items()},
        label=_on_grid(tumor.label, head, grid),
    )


def _on_grid(array: np.ndarray[Any, Any], head: Head, grid: Grid) -> np.ndarray[Any, Any]:
    """Put an array from the head's box back into the stored grid."""
    whole = np.zeros(grid.shape, array.dtype)
    whole[head.box] = array
    return whole


# --- on disk ---

_MARKER = "cohort.json"
_PARTIAL = ".partial"


@dataclass
class _Marker:
    """`cohort.json`: whose folder this is, and whether everything in it is finished."""

    path: Path
    identity: dict[str, Any]
    complete: bool

    @classmethod
    def open(cls, spec: CohortSpec, root: Path) -> "_Marker":
        path = root / _MARKER
        identity = {"spec": spec.model_dump(mode="json"), "version": version("consilium")}
        if not root.exists() or (root.is_dir() and not any(root.iterdir())):
            return cls(path, identity, complete=False)
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{root} is not empty and has no readable {_MARKER}, so it is not a cohort and nothing was written to "
                "it. Choose a new or empty folder."
            ) from error
        if not isinstance(found, dict) or {key: found.get(key) for key in identity} != identity:
            raise ConfigurationError(
                f"{root} holds a cohort of another specification or version (see {path}), and nothing was changed. "
                f"Choose another folder, or remove this one first: rm -r {root}"
            )
        return cls(path, identity, complete=found.get("complete") is True)

    def write(self, *, complete: bool) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".json.new")
        temporary.write_text(json.dumps({"complete": complete, **self.identity}, indent=2) + "\n")
        temporary.replace(self.path)


@dataclass(frozen=True)
class _Job:
    """One case to make."""

    root: Path
    grid: Grid
    seed: int
    hospital: HospitalSpec
    index: int

    @property
    def case(self) -> str:
        return case_name(self.hospital.layout, self.index)

    def is_done(self) -> bool:
        home = self.root / self.hospital.name
        return all((home / path).exists() for path in case_paths(self.hospital.layout, self.case))


def _jobs(spec: CohortSpec, root: Path) -> Iterator[_Job]:
    for hospital in spec.hospitals:
        for index in range(hospital.cases):
            yield _Job(root, spec.grid, spec.seed, hospital, index)


def _run(jobs: list[_Job], spec: CohortSpec, root: Path, workers: int, progress: Progress | None) -> None:
    """Make the cases, in this process or in several; the workers share one copy of the atlas in memory."""
    partial = root / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    _store_atlas(load_atlas(spec.grid.spacing_mm), partial / "atlas")
    report = progress or (lambda done, total, case: None)
    try:
        if workers == 1:
            for done, job in enumerate(jobs, start=1):
                report(done, len(jobs), _make_case(job))
            return
        # Spawned, not forked: a fork copies the locks of threads that torch or BLAS may be running.
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(_make_case, job) for job in jobs]
            try:
                for done, future in enumerate(as_completed(futures), start=1):
                    report(done, len(jobs), future.result())
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        _shared_atlas.cache_clear()
        shutil.rmtree(partial, ignore_errors=True)


def _make_case(job: _Job) -> str:
    """Make one case beside its place, then move it there."""
    atlas = _shared_atlas(job.root / _PARTIAL / "atlas")
    patient = make_patient(atlas, job.grid, job.hospital, job.index, job.seed)
    draft, home = job.root / _PARTIAL / job.hospital.name / job.case, job.root / job.hospital.name
    write_case(job.hospital.layout, draft, job.case, patient.images, patient.label, job.grid.spacing_mm)
    for path in case_paths(job.hospital.layout, job.case):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (draft / path).replace(home / path)
    return f"{job.hospital.name}/{job.case}"


def _store_atlas(atlas: Atlas, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, value in vars(atlas).items():
        np.save(folder / f"{name}.npy", value)


@lru_cache(maxsize=1)
def _shared_atlas(folder: Path) -> Atlas:
    gray, white, brain = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("gray", "white", "brain")
    )
    return Atlas(gray, white, brain, tuple(np.load(folder / "origin_mm.npy").tolist()))
