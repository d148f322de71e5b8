"""Training samples a second: cut from the cache, against the usual chain of transforms.

The usual chain reads, reorients, resamples, crops and normalizes the NIfTI files again at every epoch, with
the transforms of MONAI's brats_mri_segmentation bundle. Both give 128x128x128 patches of one real case at
1 mm, images normalized and labels as regions, in one process with one thread, taking slots.

    python benchmarks/input_pipeline.py [CASE_FOLDER]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from monai.transforms import (
    Compose,
    ConvertToMultiChannelBasedOnBratsClassesd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    RandSpatialCropd,
    Spacingd,
)

from consilium.data.cache import CaseCache
from consilium.data.case import Case
from consilium.data.cohort import read_cohort
from consilium.tasks import get_task
from consilium.tasks.segmentation.patches import PatchSampler
from consilium.tasks.segmentation.regions import to_regions

PATCH = (128, 128, 128)
TURNS = 5
OURS_A_TURN = 40


def main() -> None:
    """Measure both, in slots, and print the ratio."""
    torch.set_num_threads(1)
    default = Path(os.environ.get("CONSILIUM_REAL_DATA", "../shared/data/real")) / "tcga_lgg" / "TCGA-FG-6692"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=default,
        help="of a BraTS case; default: a real one of shared/",
    )
    folder = parser.parse_args().folder
    if not folder.is_dir():
        sys.exit(f"{folder} is not a folder; give the folder of a BraTS case: {parser.prog} CASE_FOLDER")
    task = get_task("brain_tumor")
    cohort = read_cohort(folder, case_format=task.cases)
    with tempfile.TemporaryDirectory() as cache_folder:
        settings = task.cases.preprocessing(1.0)
        started = time.perf_counter()
        (cached,) = (
            CaseCache(Path(cache_folder), case_format=task.cases, settings=settings).prepare(cohort).cases
        )
        once = time.perf_counter() - started
        recipe, random = PatchSampler(PATCH, foreground_share=0.5), np.random.default_rng(0)

        def ours() -> None:
            _, tissues = recipe.cut(cached, recipe.place(cached, random))
            to_regions(tissues, task.targets)

        usual = usual_chain(cohort.cases[0])
        usual()
        ours()
        rows = [(seconds(usual, 1), seconds(ours, OURS_A_TURN)) for _ in range(TURNS)]
    usual_median, ours_median = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"usual chain     {usual_median:8.3f} s a sample")
    print(f"from the cache  {ours_median:8.4f} s a sample, after {once:.1f} s once")
    print(f"ratio           {statistics.median(a / b for a, b in rows):8.0f}")


def usual_chain(case: Case) -> Callable[[], object]:
    """Return the usual chain on one case."""
    transforms = Compose(
        [
            LoadImaged(keys=["image", "label"]),
            EnsureChannelFirstd(keys=["image", "label"]),
            ConvertToMultiChannelBasedOnBratsClassesd(keys="label"),
            Orientationd(keys=["image", "label"], axcodes="RAS", labels=None),
            Spacingd(keys=["image", "label"], pixdim=(1.0, 1.0, 1.0), mode=("bilinear", "nearest")),
            RandSpatialCropd(keys=["image", "label"], roi_size=PATCH, random_size=False),
            NormalizeIntensityd(keys="image", nonzero=True, channel_wise=True),
        ]
    )
    assert case.label is not None  # the benchmark's case is labeled
    files = {"image": [str(volume.path) for volume in case.images.values()], "label": str(case.target.path)}
    return lambda: transforms(files)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the mean wall time of one call."""
    started = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - started) / repeats


if __name__ == "__main__":
    main()
