"""Cohorts on disk: several synthetic hospitals in one folder."""

import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from consilium.errors import ConfigurationError
from consilium.processes import defer_interrupts, worker_pool
from consilium.tasks.brain_tumor.synthetic.atlas import Atlas, load_atlas
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.marker import CohortMarker
from consilium.tasks.brain_tumor.synthetic.patient import make_patient
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import case_name, case_paths, finish_hospital, write_case
from consilium.tasks.synthetic import CohortProgress, GeneratedCohort


def make_cohort(
    spec: CohortSpec, folder: Path | str, *, workers: int = 1, progress: CohortProgress | None = None
) -> GeneratedCohort:
    """Make every hospital of a cohort under `folder`, one subfolder each.

    Safe to repeat: a complete cohort of the same specification is left alone, an interrupted one is
    completed. A case appears under its name only when it is whole. With more than one worker, a script must
    guard its entry point with `if __name__ == "__main__":`, as worker processes import it.

    Args:
        spec: What to make.
        folder: Where; made if missing.
        workers: Processes.
        progress: Called for each case.

    Returns:
        The cohort.

    Raises:
        ConfigurationError: The folder holds something else, `workers` is below 1, or nilearn is missing.
    """
    if workers < 1:
        raise ConfigurationError(
            f"workers is {workers}; it takes a number from 1 up to the cores of this machine"
        )
    root = Path(folder)
    marker = CohortMarker.open(spec, root)
    jobs = [job for job in _jobs(spec, root) if not job.is_done()]
    if jobs:
        marker.write(complete=False)
        _run(jobs, spec, root, workers, progress)
    if jobs or not marker.complete:
        for hospital in spec.hospitals:
            cases = [case_name(hospital.layout, index) for index in range(hospital.cases)]
            finish_hospital(hospital.layout, root / hospital.name, cases)
        marker.write(complete=True)
    return GeneratedCohort(
        root, {hospital.name: root / hospital.name for hospital in spec.hospitals}, len(jobs)
    )


_PARTIAL = ".partial"


@dataclass(frozen=True)
class _Job:
    """One case to generate."""

    root: Path
    grid: VoxelGrid
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


def _run(
    jobs: list[_Job], spec: CohortSpec, root: Path, workers: int, progress: CohortProgress | None
) -> None:
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
        with worker_pool(min(workers, len(jobs))) as pool:
            with defer_interrupts():  # the workers start now and inherit it
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
