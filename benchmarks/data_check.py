"""How much `consilium check` finds, what it finds that is not there, and how fast it is.

Healthy synthetic patients of every scanner of the demo's cohort are checked as they are; then each way to
damage a case (`tests/unit/tasks/brain_tumor/checks/damage/`) is applied to patient after patient.
Run it from the repository's root:

    python benchmarks/data_check.py --healthy 500 --damaged 500
    python benchmarks/data_check.py --speed ../shared/data/real/tcga_lgg
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.unit.tasks.brain_tumor.checks.damage import damages  # noqa: E402

from consilium.data.case import Case, FolderError  # noqa: E402
from consilium.data.checks import Finding, Severity, check_cohort  # noqa: E402
from consilium.data.checks.single_case import check_case  # noqa: E402
from consilium.data.cohort import read_cohort  # noqa: E402
from consilium.tasks.brain_tumor.cases import CASES  # noqa: E402
from consilium.tasks.brain_tumor.synthetic import (  # noqa: E402
    DEMO_COHORT,
    CaseLayout,
    CohortSpec,
    HospitalSpec,
    make_cohort,
)


class Job(NamedTuple):
    """One damage to one patient."""

    damage: str
    hospital: Path
    case: str
    other: str
    work: Path


class Outcome(NamedTuple):
    """What was found."""

    damage: str
    case: str
    found: frozenset[str]
    expected: frozenset[str]
    severe: bool
    neighbor: frozenset[str]
    follows: frozenset[str]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--healthy", type=int, default=500)
    parser.add_argument("--damaged", type=int, default=500)
    parser.add_argument("--seed", type=int, default=20, help="another one makes other patients")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--data", type=Path, help="where healthy hospitals are made and kept")
    parser.add_argument(
        "--results", type=Path, help="one line a damaged case; what it holds already is not run again"
    )
    parser.add_argument("--speed", type=Path, help="time full-size cases of this folder instead")
    options = parser.parse_args()
    if options.speed:
        time_cases(options.speed, options.workers)
        return
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data or Path(temporary) / "healthy"
        results = options.results or Path(temporary) / "results.jsonl"
        hospitals = make_healthy(data, options.healthy, options.seed, options.workers)
        false = check_healthy(hospitals, Path(temporary), options.workers)
        jobs = list(islice(_jobs(hospitals, Path(temporary)), options.damaged))
        report(check_damaged(jobs, results, options.workers), false)


def make_healthy(folder: Path, count: int, seed: int, workers: int) -> list[Path]:
    """Make as many patients for each of the demo's four scanners, under names that the damages know."""
    each = -(-count // len(DEMO_COHORT.hospitals))
    hospitals = tuple(
        HospitalSpec(
            name=one.name, layout=CaseLayout.BRATS_2021, cases=each, scanner=one.scanner, missing_et=0.1
        )
        for one in DEMO_COHORT.hospitals
    )
    spec = CohortSpec(hospitals=hospitals, grid=DEMO_COHORT.grid, seed=seed)
    return list(make_cohort(spec, folder, workers=workers).hospitals.values())


def check_healthy(hospitals: list[Path], work: Path, workers: int) -> Counter[str]:
    """Check healthy hospitals; every finding above a note is a false alarm."""
    false: Counter[str] = Counter()
    cases, alarmed = 0, set()
    for hospital in hospitals:
        cohort = read_cohort(hospital, case_format=CASES)
        checked = check_cohort(cohort, case_format=CASES, folder=work / "state", workers=workers)
        cases += len(cohort.cases)
        for finding in checked.findings:
            if finding.severity is not Severity.INFO:
                false[finding.code.value] += 1
                alarmed.add((hospital.name, finding.case_id))
    print(f"healthy: {cases} cases, {len(alarmed)} with a finding ({len(alarmed) / cases:.2%}) {dict(false)}")
    return false


def check_damaged(jobs: list[Job], results: Path, workers: int) -> list[Outcome]:
    """Damage patient after patient and check what comes of it; each outcome is written down at once."""
    by_number = {}
    if results.exists():
        for line in results.read_text().splitlines():
            number, *fields = json.loads(line)
            by_number[number] = Outcome(*(frozenset(one) if isinstance(one, list) else one for one in fields))
    numbers = [number for number in range(len(jobs)) if number not in by_number]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool, results.open("a") as file:
        futures = {pool.submit(_apply_and_check, jobs[number]): number for number in numbers}
        for future in as_completed(futures):
            number = futures[future]
            if error := future.exception():
                print(f"failed: {jobs[number]}: {error!r}", file=sys.stderr, flush=True)
                continue
            by_number[number] = outcome = future.result()
            fields = [sorted(one) if isinstance(one, frozenset) else one for one in outcome]
            file.write(json.dumps([number, *fields]) + "\n")
            file.flush()
            if len(by_number) % 20 == 0:
                print(f"damaged: {len(by_number)} of {len(jobs)}", file=sys.stderr, flush=True)
    if len(by_number) < len(jobs):
        raise SystemExit(f"{len(jobs) - len(by_number)} of {len(jobs)} cases failed; see above")
    return [by_number[number] for number in range(len(jobs))]


def report(outcomes: list[Outcome], false: Counter[str]) -> None:
    """Print recall and precision by code."""
    expected: Counter[str] = Counter()
    recalled: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong = Counter(false)
    for one in outcomes:
        name = "/".join(sorted(one.expected)) if len(one.expected) > 1 else next(iter(one.expected))
        expected[name] += 1
        recalled[name] += bool(one.found & one.expected)
        right.update(one.found & one.expected)
        wrong.update(one.found - one.expected - one.follows)
        wrong.update(one.neighbor)
    print(f"{'expected':<70} recall")
    for name in sorted(expected):
        print(f"{name:<70} {recalled[name]}/{expected[name]}")
    print(f"{'found':<30} precision")
    for name in sorted(right | wrong):
        print(f"{name:<30} {right[name]}/{right[name] + wrong[name]}")
    severe = [one for one in outcomes if one.severe]
    print(f"damaged: {len(outcomes)} cases of {len({one.damage for one in outcomes})} kinds")
    print(f"recall over all: {sum(recalled.values())}/{len(outcomes)}")
    print(
        "recall where a label's meaning changes or patients mix: "
        f"{sum(bool(one.found & one.expected) for one in severe)}/{len(severe)}"
    )
    for one in outcomes:
        if not one.found & one.expected:
            print(f"missed: {one.damage} in {one.case}; found {sorted(one.found)}")
    hurt = sum(bool(one.neighbor) for one in outcomes)
    print(f"healthy neighbors with a finding: {hurt}/{len(outcomes)}")


def _jobs(hospitals: list[Path], work: Path) -> Iterator[Job]:
    turn = 0
    while True:
        for damage in damages():
            hospital = hospitals[turn % len(hospitals)]
            cases = sorted(path.name for path in hospital.iterdir() if path.is_dir())
            # An odd stride: each damage meets every scanner, and every patient comes in turn.
            place = turn // len(hospitals)
            while damage.needs and not _has(hospital, cases[place % len(cases)], damage.needs):
                place += 1
            case, other = cases[place % len(cases)], cases[(place + 1) % len(cases)]
            yield Job(damage.name, hospital, case, other, work)
            turn += 1
        turn += 1


def _has(hospital: Path, case: str, value: int) -> bool:
    """Whether a case's label holds a value."""
    label = np.asanyarray(nib.load(hospital / case / f"{case}_seg.nii.gz").dataobj)
    return bool((label == value).any())


def _apply_and_check(job: Job) -> Outcome:
    damage = next(one for one in damages() if one.name == job.damage)
    own, neighbor = set(), set()
    with tempfile.TemporaryDirectory(dir=job.work) as folder:
        hospital = Path(folder)
        for name in (job.case, job.other):
            shutil.copytree(job.hospital / name, hospital / name)
        damage.apply(hospital, job.case, job.other)
        try:
            cohort = read_cohort(hospital, case_format=CASES)
            findings = check_cohort(cohort, case_format=CASES, folder=job.work / "state").findings
            findings += tuple(
                Finding(code=notice.code, case_id=job.case, detail=notice.detail) for notice in cohort.notices
            )
        except FolderError as error:
            findings = (Finding(code=error.code, case_id=job.case, detail=str(error)),)
    for finding in findings:
        of_case = (finding.case_id or "").startswith(job.case)
        if of_case or (damage.also and finding.code.value in damage.codes):
            own.add(finding.code.value)
        elif finding.case_id is not None and finding.severity is not Severity.INFO:
            neighbor.add(finding.code.value)
    return Outcome(
        damage.name,
        f"{job.hospital.name}/{job.case}",
        frozenset(own),
        damage.codes,
        damage.severe,
        frozenset(neighbor),
        damage.follows,
    )


def time_cases(folder: Path, workers: int) -> None:
    """CPU seconds a case in one process against reading its files, and cases a second with all workers."""
    cohort = read_cohort(folder, case_format=CASES)

    def check(case: Case) -> None:
        check_case(case, cohort.convention, CASES)

    read, checked = (min(_cpu_seconds(one, cohort.cases) for _ in range(5)) for one in (_read, check))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"nibabel reads the files of a case in {read:.2f} CPU seconds")
    print(
        f"a check: {checked:.2f} CPU seconds, {checked / read:.1f} times as long; peak memory {peak:.2f} GiB"
    )
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        repeats = [case for case in cohort.cases for _ in range(10)]
        for name, arguments in (
            ("read by nibabel", (_read, repeats)),
            ("checked", (check_case, repeats, [cohort.convention] * len(repeats), [CASES] * len(repeats))),
        ):
            list(pool.map(abs, range(workers)))
            list(pool.map(*(part if callable(part) else part[: 2 * workers] for part in arguments)))
            started = time.perf_counter()
            list(pool.map(*arguments))
            rate = len(repeats) / (time.perf_counter() - started)
            print(f"{rate:.2f} cases a second {name} with {workers} processes, load {os.getloadavg()[0]:.1f}")


def _read(case: Case) -> None:
    """Load all voxels of a case with nibabel, as stored: what any check has to do at least."""
    for volume in (*case.images.values(), *([case.label] if case.label else [])):
        np.asanyarray(nib.load(volume.path).dataobj)


def _cpu_seconds(work: Callable[[Case], None], cases: Sequence[Case]) -> float:
    """CPU seconds a case."""
    before = time.process_time()
    for case in cases:
        work(case)
    return (time.process_time() - before) / len(cases)


if __name__ == "__main__":
    main()
