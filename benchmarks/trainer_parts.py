r"""What each part of the trainer is worth: one component changed at a time, on the same patients and seeds.

Patients of all training hospitals are pooled, a quarter of them held out. The model after the last step is
scored on these, on a second cohort of the same generator with another seed (`new`), and on folders that
`--also` names, such as real patients. Differences are paired: the same seed, patients and steps.

The components are in `candidates/components.py`. One that has earned its place moves into the package, as a
setting; the others stay here, so that they can be measured again.

All components at 4 mm, three seeds; about half a minute of a core for each training:

    python benchmarks/trainer_parts.py --out runs/trainer_parts

Some at 2 mm, with real patients:

    python benchmarks/trainer_parts.py --out runs/trainer_parts_2mm --cohort-set spacing=2 \
        --set spacing_mm=2 --set patch_voxels=[72,88,80] --components affine noise \
        --also tcga=$CONSILIUM_REAL_DATA/tcga_lgg --convention tcga=brats-2018

What a component gives at a hospital that no model was trained on, one hospital after the other:

    python benchmarks/trainer_parts.py --out runs/new_scanner --components no_contrast scanner \
        --leave-out aster birch cedar dahlia

Repeat an interrupted command: it resumes. Results are OUT/result.json and OUT/result.md; of a hospital that
is left out, in OUT/without_HOSPITAL, and of all of these together in OUT/left_out.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from candidates.components import COMPONENTS
from candidates.results import LEFT_OUT, left_out_table
from candidates.study import Study
from consilium.cli.site_options import parse_conventions
from consilium.data.cached_case import CachedCase
from consilium.data.files import output_folder, private_folder, write_atomically
from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.learning.compute_settings import ComputeSettings
from consilium.settings import parse_changes
from consilium.tasks import get_task
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.synthetic import specify_cohort
from nnunet import read_learning
from nnunet_parts.comparison import say
from nnunet_parts.ours import STEPS_OF_A_ROUND, pool_patients, prepare_hospital

DEFAULT_SETTINGS = ("spacing_mm=4", "patch_voxels=[32,40,32]")
DEFAULT_COHORT = ("spacing=4",)
NEW_PATIENTS_SEED = 1000


def main() -> None:
    """Train, score and print the tables."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI calls deprecated parts of its own.
    options = _parser().parse_args()
    try:
        if options.steps < 1 or options.steps % STEPS_OF_A_ROUND:
            raise ConfigurationError(f"--steps {options.steps}: give a multiple of {STEPS_OF_A_ROUND}")
        out = output_folder(options.out, "--out")
        learning = read_learning(options.job, [*DEFAULT_SETTINGS, *options.set])
        if options.leave_out:
            print(_leave_out(options, out, learning))
        else:
            print(_study(options, out, learning).run(options.components, options.seeds))
            print(f"{out / 'result.json'}\n{out / 'result.md'}")
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def _leave_out(options: argparse.Namespace, out: Path, learning: SegmentationSettings) -> str:
    """Train without each hospital in turn; returns the table of all."""
    results = {}
    for name in options.leave_out:
        study = _study(options, out, learning, left_out=name)
        study.run(options.components, options.seeds)
        results[name] = json.loads((study.out / "result.json").read_text())
        table = left_out_table(results, {name: one.title for name, one in COMPONENTS.items()})
        write_atomically(out / "left_out.md", table.encode())
    return table


def _study(
    options: argparse.Namespace, out: Path, learning: SegmentationSettings, *, left_out: str | None = None
) -> Study:
    """Make and prepare all patients; those of a hospital that is left out are a group of their own."""
    changes = parse_changes([*DEFAULT_COHORT, *options.cohort_set])
    cohort, other = (
        # Another seed of the same generator: the same scanners, other patients.
        specify_cohort(synthetic_cohort(learning.task), {**changes, **more})
        for more in ({}, {"seed": NEW_PATIENTS_SEED})
    )
    sites = cohort.make(out / "hospitals").hospitals
    folders = {f"new_{name}": path for name, path in other.make(out / "new").hospitals.items()}
    evaluators = cohort.evaluators
    if left_out is not None:
        if left_out not in sites:
            raise ConfigurationError(f"--leave-out {left_out}: the hospitals are {', '.join(sites)}")
        folders[left_out] = sites[left_out]
        sites = {name: path for name, path in sites.items() if name != left_out}
        evaluators, out = (), private_folder(out / f"without_{left_out}")
    pooled = pool_patients(sites, out, learning, evaluators=evaluators, say=say)
    also = _named_folders(options.also)
    conventions = parse_conventions(options.convention, also, get_task(learning.task).cases)
    groups: dict[str, Sequence[CachedCase]] = {"held_out": pooled.held_out}
    for name, folder in (folders | also).items():
        data = prepare_hospital(name, folder, out, learning, evaluates=True, convention=conventions.get(name))
        of_left_out = left_out is not None and name in (left_out, f"new_{left_out}")
        group = name if name in also else LEFT_OUT if of_left_out else "new"
        groups[group] = (*groups.get(group, ()), *data.test)
    learning = learning.model_copy(update={"batch_size": learning.batch_size * pooled.training_sites})
    compute = ComputeSettings(
        device=options.device, cpu_threads=options.threads, loader_workers=options.loaders, processes=1
    )
    return Study(out, learning, options.steps, pooled.train, groups, compute)


def _named_folders(texts: Sequence[str]) -> dict[str, Path]:
    pairs = [text.partition("=") for text in texts]
    if any(not (name and folder) for name, _, folder in pairs):
        raise ConfigurationError("--also takes NAME=DIR, such as real=data/real")
    return {name: Path(folder).expanduser() for name, _, folder in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/trainer_parts"), help="for everything (default: %(default)s)")
    add("--components", nargs="+", choices=COMPONENTS, default=list(COMPONENTS), help="default: all")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    add("--steps", type=int, default=480, help="a multiple of 16 (default: 480)")
    add("--job", default=f"{DEFAULT}_fedavg", help="whose learning settings (default: %(default)s)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a learning setting")
    add("--cohort-set", action="append", default=[], metavar="KEY=VALUE", help="of the synthetic hospitals")
    add("--leave-out", nargs="+", default=[], metavar="HOSPITAL", help="train on the others, each in turn")
    add("--also", action="append", default=[], metavar="NAME=DIR", help="a folder to score on as well")
    add("--convention", action="append", default=[], metavar="[NAME=]CONVENTION", help="of such a folder")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    add("--threads", type=int, default=1, help="of the training (default: 1)")
    add("--loaders", type=int, default=0, help="processes that load samples (default: 0)")
    return parser


if __name__ == "__main__":
    main()
