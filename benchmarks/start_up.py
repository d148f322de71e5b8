"""What a site does before it can answer: CPU seconds, openings of each file and bytes read, cold and warm.

A training job, a statistics job, a readiness check and `consilium check` start on a hospital that nobody has
looked at yet, and once more, in one process with one thread. Then: what it costs to compare a preprocessed
case with its checksums, beside cutting patches of 128x128x128 from it.

    python benchmarks/start_up.py [--cases 4] [--size 240 240 155] [--starts training] [--baseline CHECKOUT]

`--baseline` names another checkout of this repository (`git worktree add /tmp/before 6466ef4`), whose package
then starts on the same files.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

HERE = Path(__file__).resolve().parents[1]
MODALITIES = ("t1", "t1ce", "t2", "flair")
STARTS = ("training", "statistics", "readiness", "check")


def main() -> None:
    """Make the hospital, start everything on it, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=3, default=(240, 240, 155))
    parser.add_argument("--starts", choices=STARTS, nargs="+", default=STARTS)
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        for row in measure(options.measure, options.starts):
            print(json.dumps(row), flush=True)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_hospital(folder / "cases", options.cases, tuple(options.size))
        time.sleep(5)  # what is seconds old is read again at the next start
        print(f"{options.cases} cases, {megabytes(folder / 'cases'):.0f} MB", flush=True)
        versions = {"before": options.baseline, "now": HERE} if options.baseline else {"now": HERE}
        for version, checkout in versions.items():
            for row in run(folder, folder / version, checkout, options.starts):
                print(version, row, flush=True)


def run(folder: Path, kept: Path, checkout: Path, starts: Sequence[str]) -> Iterator[str]:
    """Measure with the package of a checkout."""
    kept.mkdir()
    (kept / "cases").symlink_to(folder / "cases")
    environment = {**os.environ, "PYTHONPATH": str(checkout / "custom"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure", str(kept), "--starts", *starts]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield from (line.strip() for line in process.stdout)


def measure(folder: Path, names: Sequence[str]) -> Iterator[dict[str, object]]:
    """Start everything twice, and count how often files of the hospital are opened."""
    import torch

    from consilium.participant.site_cases import examine_cases
    from consilium.participant.site_data import prepare_site
    from consilium.participant.site_settings import SiteSettings
    from consilium.participant.statistics import gather_statistics
    from consilium.site_check.folder import check_folder
    from consilium.site_check.job import SiteJob
    from consilium.tasks import get_task
    from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

    torch.set_num_threads(1)
    learning = BrainTumorSettings(spacing_mm=1.0)
    task, cases = get_task(learning.task), (folder / "cases").resolve()
    openings = {"image": 0, "label": 0}

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(f"{cases}{os.sep}"):
            openings["label" if "_seg" in arguments[0] else "image"] += 1

    def site(kept: str) -> SiteSettings:
        return SiteSettings(
            dataset=cases,
            cache_dir=folder / kept,
            state_dir=folder / f"{kept}_register",
            split_salt="benchmark",
            min_training_patients=1,
            min_count=1,
            max_left_out=1.0,
            cpu_threads=1,
        )

    def silent(*step: object) -> None:
        return None

    starts = {
        "training": lambda: prepare_site(site("training"), learning),
        "statistics": lambda: gather_statistics(
            site("statistics"), task, progress=silent, cancelled=lambda: False
        ),
        "readiness": lambda: examine_cases(site("readiness"), task.cases),
        "check": lambda: check_folder(cases, SiteJob("job", learning, (), {}), state=folder / "check"),
    }
    sys.addaudithook(hook)
    count = len(list(cases.iterdir()))
    data = None
    for name, start in ((name, starts[name]) for name in names):
        for state in ("cold", "warm"):
            openings.update(image=0, label=0)
            before, began, wall = read_bytes(), time.process_time(), time.perf_counter()
            result = start()
            data = result if name == "training" else data
            yield {
                "start": name,
                "state": state,
                "cpu_seconds": round(time.process_time() - began, 2),
                "seconds": round(time.perf_counter() - wall, 2),
                "mb_read": round((read_bytes() - before) / 1e6, 1),
                "image_openings": round(openings["image"] / count / len(MODALITIES), 2),
                "label_openings": round(openings["label"] / count, 2),
            }
    if data is not None and data.train:
        yield from measure_entry(data.train[0])


def measure_entry(case: object) -> Iterator[dict[str, object]]:
    """What the checksums of one preprocessed case cost, beside cutting a patch from it."""
    from consilium.tasks.segmentation.patches import PatchSampler

    recipe, random = PatchSampler((128, 128, 128), 0.5), np.random.default_rng(0)
    spent = []
    for _ in range(6):
        began = time.process_time()
        recipe.cut(case, recipe.place(case, random))
        spent.append(time.process_time() - began)
    size = sum(file.stat().st_size for file in case.folder.iterdir())
    yield {
        "case_mb": round(size / 1e6, 1),
        "first_patch_cpu_ms": round(1000 * spent[0], 1),
        "later_patch_cpu_ms": round(1000 * min(spent[1:]), 1),
    }


def read_bytes() -> int:
    """Bytes that this process has read, from the disk or from the system's cache of it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def make_hospital(folder: Path, cases: int, shape: tuple[int, ...]) -> None:
    """Write heads with a tumor, int16 and gzipped as BraTS ships them; no two are alike."""
    random = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1.6, 1.6, size) for size in shape), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    texture = random.normal(0, 12, (len(MODALITIES), *shape)).astype(np.float32)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    for number in range(cases):
        case = folder / f"case_{number:04d}"
        case.mkdir(parents=True)
        center = random.uniform(-0.5, 0.5, 3)
        tumor = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(axes, center, strict=True)))
        drawn = np.select([tumor < 0.15, tumor < 0.25, tumor < 0.4], [1, 4, 2], 0).astype(np.uint8)
        for place, name in enumerate(MODALITIES):
            image = 400 + 100 * place + 60 * np.cos((5 + place) * radius) + np.roll(texture[place], number, 0)
            image += np.where(drawn > 0, (120, 260, 300, 280)[place] * (drawn != 1), 0)
            stored = np.where(radius < 1.2, image, 0).astype(np.int16)
            nib.Nifti1Image(stored, affine).to_filename(case / f"{case.name}_{name}.nii.gz")
        nib.Nifti1Image(drawn, affine).to_filename(case / f"{case.name}_seg.nii.gz")


def megabytes(folder: Path) -> float:
    """Size of all files under a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


if __name__ == "__main__":
    main()
