r"""What an update reveals of its patients: inversion, search among given patients, membership inference.

Updates are made by the trainer as it is, on synthetic patients of one hospital: the first round of a job on
the network with its first weights, of 1, 2 and 8 patients in every step and 1, 8 and 40 steps; plain, with
DP-SGD by patient, and as sums of 3, 5 and 10 sites, which is what a server sees behind secure aggregation.
Voxels are of 8 mm, so that one patch of 24 x 24 x 24 is a whole head. That helps the attacker: there are
fewer numbers to find.

All of it, about a quarter of an hour of a core:

    python benchmarks/leakage.py --out runs/leakage

A trial of it in about two minutes, which shows that everything runs and means nothing:

    python benchmarks/leakage.py --short --out runs/leakage_short

Repeat an interrupted command: it resumes. Results are OUT/result.json, OUT/result.md and OUT/images.png.

"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch

from consilium.data.files import output_folder
from consilium.default_task import DEFAULT
from consilium.errors import ConsiliumError
from leakage_parts.effort import SHORT, WHOLE
from leakage_parts.pictures import draw
from leakage_parts.results import TITLES
from leakage_parts.study import Study
from nnunet import read_learning

DEFAULT_SETTINGS = ("spacing_mm=8", "patch_voxels=24", "foreground_share=0")


def main() -> None:
    """Attack, and print the tables."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI calls deprecated parts of its own.
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    try:
        out = output_folder(options.out, "--out")
        learning = read_learning(options.job, [*DEFAULT_SETTINGS, *options.set])
        print(Study(out, learning, SHORT if options.short else WHOLE).run(options.attacks))
        if (out / "slices").exists():
            draw(out / "slices", out / "images.png")
        print(f"results are in {out}")
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/leakage"), help="for everything (default: %(default)s)")
    add("--short", action="store_true", help="a trial of two minutes")
    add("--attacks", nargs="+", choices=TITLES, default=list(TITLES), help="default: all")
    add("--job", default=f"{DEFAULT}_fedavg", help="whose learning settings (default: %(default)s)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    add("--threads", type=int, default=1, help="default: 1")
    return parser


if __name__ == "__main__":
    main()
