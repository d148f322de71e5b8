"""How often hospitals are told apart by the limit on their images' distance.

Synthetic patients of the demo's four scanners: random groups against 12 other patients of the same scanner,
who should be below the limit, and of another, who should be above. Then the distance of each scanner's
patients from those of all others.

    python benchmarks/site_distances.py [FOLDER]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from consilium.data.cohort import read_cohort
from consilium.data.cohort_pass import process_cases
from consilium.data.sources import SourceIndex
from consilium.report.statistics.distances import Bins, wasserstein
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.features import DRIFT
from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, make_cohort
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout
from consilium.tasks.case_statistics import KeptStatistics
from consilium.tasks.segmentation.features import STANDARDIZED

PATIENTS, OTHERS = 24, 12
GROUPS = (4, 8, 12)
DRAWS = 400
LIMIT = DRIFT.same_source
EDGES = np.linspace(STANDARDIZED.low, STANDARDIZED.high, STANDARDIZED.number + 1)
CENTERS = (EDGES[:-1] + EDGES[1:]) / 2


def main() -> None:
    """Make the patients, draw groups, print the shares above the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", help="to keep the patients in; default: a temporary one"
    )
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        scanners = intensities(folder or Path(temporary))
    random = np.random.default_rng(0)
    print(f"{'patients':>8} {'same scanner':>13} {'another scanner':>16}   above {LIMIT}")
    for size in GROUPS:
        same, other = [], []
        for name, own in scanners.items():
            for _ in range(DRAWS):
                drawn = random.permutation(PATIENTS)
                same.append(farthest(own[drawn[:size]], own[drawn[size : size + OTHERS]]))
            for foreign in (rows for another, rows in scanners.items() if another != name):
                for _ in range(DRAWS // 4):
                    group, others = (random.permutation(PATIENTS)[:count] for count in (size, OTHERS))
                    other.append(farthest(own[group], foreign[others]))
        shares = [float(np.mean(np.array(one) > LIMIT)) for one in (same, other)]
        print(f"{size:8d} {shares[0]:13.2%} {shares[1]:16.2%}")
    for name, own in scanners.items():
        rest = np.concatenate([rows for another, rows in scanners.items() if another != name])
        print(f"{name}: {farthest(own, rest):.2f} from all others")


def intensities(folder: Path) -> dict[str, Bins]:
    """Return each scanner's patients, `(patients, modalities, bins)`."""
    hospitals = tuple(
        HospitalSpec(name=one.name, layout=CaseLayout.BRATS_2021, cases=PATIENTS, scanner=one.scanner)
        for one in DEMO_COHORT.hospitals
    )
    spec = CohortSpec(hospitals=hospitals, grid=DEMO_COHORT.grid, seed=7)
    task = get_task("brain_tumor")
    modalities = task.inputs
    found = {}
    for name, home in make_cohort(spec, folder / "hospitals").hospitals.items():
        kept = KeptStatistics(folder / "cache" / name, task.name, task.statistics)
        made = process_cases(
            read_cohort(home, case_format=CASES),
            (kept,),
            case_format=CASES,
            index=SourceIndex(),
        )
        found[name] = np.array(
            [[case.values[f"intensity_{one}"] for one in modalities] for case in made.of(kept).values()]
        )
    return found


def farthest(group: Bins, others: Bins) -> float:
    """Return the distance in the modality in which it is largest."""
    return float(wasserstein(CENTERS, group.sum(axis=0), others.sum(axis=0)).max())


if __name__ == "__main__":
    main()
