r"""Our trainer and nnU-Net v2 on the same patients: Dice by the same metrics, and seconds side by side.

The patients of all hospitals are pooled; a quarter of each training hospital's patients and all of those that
only evaluate are held out. The ways to train:

  ours     Consilium's trainer: the job's network, patch and rate, and the batch of all training hospitals.
  recipe   nnU-Net's trainer (sampling, augmentation, loss, optimizer, rate) on the same network, patch,
           batch, steps: which recipe trains better?
  cut      nnU-Net's plan, cut to our voxels, patch, batch and number of parameters, same steps: the same with
           its own kind of network and with deep supervision.
  plan     nnU-Net's own plan, for as many CPU seconds as `ours` took (GPU: seconds): what would a user get?

nnU-Net is installed into an environment of its own, with the torch that is installed here. It prepares,
augments and predicts in its own way, from the hospitals' files; its label maps are scored by our code on the
original voxels. Seconds are those of the processor (with --device cuda, of wall time), without preparation,
which is reported apart, so other load on the machine changes them little.

The demo's hospitals, as many steps as in the demo, one seed; about half an hour on two cores:

    python benchmarks/nnunet.py --out runs/nnunet

Longer, three seeds; what is done already in that folder is kept:

    python benchmarks/nnunet.py --out runs/nnunet_long --steps 960 --seeds 0 1 2

Your own folders, in any layout of docs/data.md; `c` is held out as a whole:

    python benchmarks/nnunet.py --out runs/nnunet_own --site a=/data/a --site b=/data/b --site c=/data/c \
        --evaluates c --convention a=brats-2018

On a GPU, at 1 mm, with the job for GPUs:

    python benchmarks/nnunet.py --out runs/nnunet_gpu --device cuda --job brain_tumor_fedavg_gpu \
        --steps 9600 --loaders 8 --cohort-set spacing=1

Repeat an interrupted command: it resumes from its checkpoints. Results are OUT/result.json and
OUT/result.md: means, and nothing of one patient. The other folders in OUT hold copies of the images, under
numbers, and scores by case: remove them when you are done.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

from consilium.cli.site_options import parse_conventions
from consilium.data.files import output_folder
from consilium.default_task import DEFAULT
from consilium.errors import ConfigurationError, ConsiliumError
from consilium.learning.compute_settings import ComputeSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.training import TrainingRecipe
from consilium.settings import parse_changes
from consilium.tasks import get_task
from consilium.tasks.registry import synthetic_cohort
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from consilium.tasks.synthetic import specify_cohort
from nnunet_parts.comparison import WAYS, Comparison, Question, say
from nnunet_parts.ours import STEPS_OF_A_ROUND

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Compare."""
    # MONAI calls deprecated parts of its own.
    warnings.filterwarnings("ignore", category=FutureWarning)
    options = _parser().parse_args()
    try:
        out = output_folder(options.out, "--out")
        learning = read_learning(options.job, options.set)
        if options.steps < 1 or options.steps % STEPS_OF_A_ROUND:
            raise ConfigurationError(f"--steps {options.steps}: give a multiple of {STEPS_OF_A_ROUND}")
        sites, evaluators = find_sites(options, learning.task, out)
        question = Question(
            learning,
            sites,
            evaluators,
            parse_conventions(options.convention, sites, get_task(learning.task).cases),
            options.steps,
            options.mirror,
            ComputeSettings(
                device=options.device,
                cpu_threads=options.threads,
                loader_workers=options.loaders,
                processes=1,
            ),
        )
        print(Comparison(out, question, options.environment).run(options.ways, options.seeds))
        print(f"{out / 'result.json'}\n{out / 'result.md'}")
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def read_learning(job: str, changes: list[str]) -> SegmentationSettings:
    """Return the learning settings of a job of the catalog.

    Args:
        job: Its name.
        changes: `KEY=VALUE`, without the group `learning`.

    Raises:
        ConfigurationError: If there is no such job, it trains no segmentation, or a setting can't be used.
    """
    renamed = {f"learning.{key}": value for key, value in parse_changes(changes).items()}
    recipe = build_recipe(job, renamed)
    learning = recipe.settings.learning if isinstance(recipe, TrainingRecipe) else None
    if not isinstance(learning, SegmentationSettings):
        raise ConfigurationError(f"--job {job}: nnU-Net can be compared with jobs that train a segmentation")
    return learning


def find_sites(
    options: argparse.Namespace, task: str, out: Path
) -> tuple[Mapping[str, Path], Collection[str]]:
    """Return the hospitals' folders and which of them only evaluate; synthetic ones are made if needed.

    Raises:
        ConfigurationError: If a site is not `NAME=DIR`, or one that only evaluates is not among them.
    """
    if not options.site:
        synthetic = specify_cohort(synthetic_cohort(task), parse_changes(options.cohort_set))
        made = synthetic.make(
            out / "hospitals", progress=lambda done, total, case: say(f"patient {done} of {total}")
        )
        return made.hospitals, synthetic.evaluators & made.hospitals.keys()
    pairs = [text.partition("=") for text in options.site]
    if any(not (name and folder) for name, _, folder in pairs):
        raise ConfigurationError("--site takes NAME=DIR, such as north=data/a")
    sites = {name: Path(folder).expanduser() for name, _, folder in pairs}
    if len(sites) < len(pairs) or not set(options.evaluates) <= sites.keys():
        raise ConfigurationError("give each --site another name, and to --evaluates one of these names")
    return sites, set(options.evaluates)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs/nnunet"), help="folder for everything (default: %(default)s)")
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="default: all; `ours` is always run")
    add("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    add(
        "--steps",
        type=int,
        default=96,
        help="a multiple of 16 (default: 96, as in the demo)",
    )
    add("--job", default=f"{DEFAULT}_fedavg", help="whose learning settings (default: %(default)s)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a learning setting",
    )
    add("--site", action="append", default=[], metavar="NAME=DIR", help="default: the demo's hospitals")
    add("--evaluates", action="append", default=[], metavar="NAME", help="a site that is held out as a whole")
    add(
        "--convention",
        action="append",
        default=[],
        metavar="[NAME=]CONVENTION",
        help="what label values mean, where names and values don't say it",
    )
    add(
        "--cohort-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the synthetic hospitals, see `consilium cohort --options`",
    )
    add("--mirror", action="store_true", help="average all predictions over mirrored inputs, as nnU-Net does")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="default: cpu")
    add("--threads", type=int, default=1, help="of each process (default: 1)")
    add("--loaders", type=int, default=0, help="processes that load samples; give some on a GPU (default: 0)")
    add(
        "--environment",
        type=Path,
        default=REPOSITORY / "build/nnunet",
        help="folder of nnU-Net's virtual environment, made if missing (default: build/nnunet)",
    )
    return parser


if __name__ == "__main__":
    main()
