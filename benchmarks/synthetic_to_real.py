r"""How well a model that was trained on synthetic patients alone does on real ones.

A cohort of four synthetic hospitals is made, the network of the CPU job is trained on all of its training
patients together with Consilium's trainer, and `predict` finds the tumors of real patients: Dice of whole
tumor, tumor core and enhancing tumor, and the volumes. What it marks in heads without tumor, in mL, is about
stand-ins: real heads whose hemisphere with the tumor was replaced by the other one's mirror image, plain and
with white-matter lesions painted in (there are no real patients without tumor here). The Dice of synthetic
patients that were held out is reported, too.

The real patients are below CONSILIUM_REAL_DATA or --real, as `NAME/NAME_t1.nii.gz`, `_t1ce`, `_t2`, `_flair`
and `_seg` with labels 1, 2, 4; a `slices.json` says which slices of a slab to score.

One seed, 800 steps, about 10 minutes on a core:

    python benchmarks/synthetic_to_real.py --out runs/to_real

Two generators in one run; the other is that of a checkout of this repository:

    python benchmarks/synthetic_to_real.py --out runs/to_real --seeds 0 1 --baseline ../before

Other hospitals, other settings of the training, and folders of hospitals that are there already:

    python benchmarks/synthetic_to_real.py --out runs/other --cohort-set missing_et=0.5 --set batch_size=4
    python benchmarks/synthetic_to_real.py --out runs/mine --hospitals a=data/a --hospitals b=data/b

For a first orientation, eight times as fast: `--set spacing_mm=4 --set patch_voxels=[40,48,40]`.

Repeat an interrupted command: it resumes. Results are OUT/result.json and OUT/result.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

from consilium.data.files import output_folder
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.settings import parse_changes
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.synthetic import specify_cohort
from nnunet import read_learning
from nnunet_parts.comparison import say
from nnunet_parts.ours import STEPS_OF_A_ROUND
from real_parts.patients import find_real_patients, make_tumor_free
from real_parts.transfer import Transfer, write_results

TASK, JOB = "brain_tumor", "brain_tumor_fedavg"
COHORT = (
    "hospitals.north=brats2021:16",
    "hospitals.east=brats2020:16",
    "hospitals.south=brats2023:16",
    "hospitals.west=decathlon:16",
    "missing_et=0.35",
)
"""The share without enhancement is that of low-grade gliomas in BraTS 2018 to 2020, roughly."""

REAL = "CONSILIUM_REAL_DATA"


def main() -> None:
    """Make cohorts, train, predict and write the table."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI calls deprecated parts of its own.
    options = _parser().parse_args()
    try:
        if options.steps < 1 or options.steps % STEPS_OF_A_ROUND:
            raise ConfigurationError(f"--steps {options.steps}: give a multiple of {STEPS_OF_A_ROUND}")
        out = output_folder(options.out, "--out")
        learning = read_learning(JOB, ["batch_size=2", *options.set])
        patients = find_real_patients(options.real)
        tumor_free = make_tumor_free(patients, out / "tumor_free")
        rows = []
        for seed in options.seeds:
            for way, hospitals in _ways(options, out, seed):
                folder = out / f"{way}-{seed}"
                settings: SegmentationSettings = learning.model_copy(update={"seed": seed})
                transfer = Transfer(folder, hospitals, settings, options.steps, options.threads)
                rows.append(transfer.run(f"{way}, seed {seed}", patients, tumor_free) | {"way": way})
                print(write_results(out, rows), flush=True)
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def _ways(options: argparse.Namespace, out: Path, seed: int) -> list[tuple[str, dict[str, Path]]]:
    """Name of each generator, and the hospitals that it made."""
    if options.hospitals:
        pairs = (text.partition("=") for text in options.hospitals)
        return [("given", {name: Path(folder) for name, _, folder in pairs})]
    changes = [*COHORT, *options.cohort_set, f"seed={seed}"]
    ways = {"now": None} | ({"before": options.baseline} if options.baseline else {})
    return [(way, _cohort(out / f"hospitals-{way}-{seed}", changes, of, options)) for way, of in ways.items()]


def _cohort(
    folder: Path, changes: list[str], checkout: Path | None, options: argparse.Namespace
) -> dict[str, Path]:
    """Make a cohort with this generator, or with that of a checkout, in a process of its own."""
    cohort = specify_cohort(synthetic_cohort(TASK), parse_changes(changes))
    start = time.process_time()
    if checkout is None:
        cohort.make(folder, workers=options.workers)
    elif not (folder / "cohort.json").exists():
        command = [sys.executable, "-m", "consilium.cli", "cohort", str(folder), "--workers"]
        command += [str(options.workers), *(part for one in changes for part in ("--set", one))]
        path = str((checkout / "custom").resolve())
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.DEVNULL)
    say(f"{folder.name}: made in {time.process_time() - start:.0f} s of this process")
    return {name: folder / name for name in cohort.hospitals}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/to_real"), help="folder for everything (default: %(default)s)")
    add(
        "--real",
        type=Path,
        default=Path(os.environ.get(REAL, "../shared/data/real")),
        help=f"folder with real patients (default: {REAL}, or %(default)s)",
    )
    add("--seeds", type=int, nargs="+", default=[0], help="of patients, weights and samples (default: 0)")
    add("--steps", type=int, default=800, help="a multiple of 16 (default: 800)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting of the job")
    add("--cohort-set", action="append", default=[], metavar="KEY=VALUE", help="an option of the cohort")
    add("--baseline", type=Path, metavar="CHECKOUT", help="a checkout whose generator is compared")
    add("--hospitals", action="append", default=[], metavar="NAME=DIR", help="train on these, make none")
    add("--threads", type=int, default=1, help="of the training (default: 1)")
    add("--workers", type=int, default=1, help="processes that make patients (default: 1)")
    return parser


if __name__ == "__main__":
    main()
