r"""Dice against epsilon: what differential privacy by patient costs on the demo's hospitals.

The demo's three training hospitals (20, 7 and 11 patients) train a federation in one process: the trainer,
the DP-SGD, the privacy plans and the averaging of the product, without messages. Epsilon is 1, 3, 8, 20, 50,
1000 and infinity, where nothing is clipped and no noise is added; training starts from drawn weights or from
a model that was trained on another synthetic hospital's patients; all weights are trained, or those of the
last layer. Beside them are federated averaging without DP-SGD, and the pretrained model as it is. Dice is the
mean of three regions over six held-out patients of each of the four hospitals. Voxels are of 4 mm.

All of it, three seeds, about a quarter of an hour of a core:

    python benchmarks/dice_epsilon.py --out runs/dice_epsilon

A trial of it, which shows that everything runs and means nothing:

    python benchmarks/dice_epsilon.py --quick --out runs/dice_epsilon_quick

All settings of the first seed are run before the next seed. Repeat an interrupted command: it resumes.
Results are OUT/runs.jsonl, a line a run, OUT/result.md and OUT/dice-epsilon.svg; `--tables` writes the last
two from what is there.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import torch

from consilium.data.files import output_folder
from consilium.errors import ConsiliumError
from epsilon_parts.grid import QUICK, WHOLE, list_ways
from epsilon_parts.study import Study
from nnunet import read_learning

JOB = "brain_tumor_dp_sgd"
DEFAULT_SETTINGS = ("spacing_mm=4", "patch_voxels=24", "batch_size=2", "local_steps=4")


def main() -> None:
    """Train, and print the tables."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI calls deprecated parts of its own.
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    try:
        out = output_folder(options.out, "--out")
        learning = read_learning(JOB, [*DEFAULT_SETTINGS, *options.set])
        study = Study(out, learning, QUICK if options.quick else WHOLE, options.clip)
        seeds = options.seeds or ([0] if options.quick else [0, 1, 2])
        if options.norms:
            print(study.norms(seeds[0]))
        else:
            print(study.write() if options.tables else study.run(list_ways(), seeds))
        print(f"results are in {out}")
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/dice_epsilon"), help="for everything (default: %(default)s)")
    add("--seeds", type=int, nargs="+", help="default: 0 1 2, and 0 with --quick")
    add("--quick", action="store_true", help="a trial; give it an --out of its own")
    add("--tables", action="store_true", help="train nothing, and write what is there")
    add("--norms", action="store_true", help="print norms of gradients on the other hospital, for --clip")
    add("--clip", type=float, default=0.2, help="bound of a patient's gradient (default: %(default)s)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    add("--threads", type=int, default=1, help="default: 1")
    return parser


if __name__ == "__main__":
    main()
