r"""Federated algorithms on hospitals of very different size: mild and strong drift, on equal terms.

Two cohorts of four synthetic hospitals train on 40, 16, 6 and 2 patients and test on 12 each. In `mild`
they have one vendor's scanners; in `strong` the demo's scanners from 1 to 3 T, tumors of different sizes,
and raters who draw edema 2 mm wider or tighter. `sizes` has twelve hospitals with 1 to 64 patients to train
on, as in FeTS 2022, and the demo's scanners. Each run is a job of the catalog in FLARE's simulator with the
same network, patch, steps and seed at 4 mm; beside federated averaging every hospital trains alone, and one
model is trained on all patients, by the code of `consilium simulate --compare`.

All runs on all cohorts, one seed; one to two CPU minutes each, and three times as long on `sizes`:

    python benchmarks/drift.py --out runs/drift

Three seeds (other patients, weights and samples), and each hospital left out of training once:

    python benchmarks/drift.py --out runs/drift --seeds 0 1 2 --leave-out aster birch cedar dahlia

Whether longer training closes a gap (all models train three times as long, in a folder of their own):

    python benchmarks/drift.py --out runs/drift_24 --rounds 24 --cohorts mild --algorithms fedavg

A network that takes long on a CPU, on a GPU (in a folder of its own, as predictions differ):

    python benchmarks/drift.py --out runs/drift_gpu --device cuda --algorithms fedavg_gpu fedbn

Some of it, and a trial of a few minutes, which shows that everything runs and means nothing:

    python benchmarks/drift.py --out runs/drift --cohorts strong --algorithms fedavg ditto
    python benchmarks/drift.py --quick --cohorts strong

Repeat an interrupted command: runs that are done are not repeated. Results are OUT/result.md, OUT/result.json
and a plot of each cohort; `--write docs/drift.md` puts the tables of the cohorts that were run into that
page, without running anything.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

from consilium.data.files import output_folder
from consilium.errors import ConsiliumError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import open_device
from consilium.simulation.display import Display
from drift_parts.cohorts import COHORTS, QUICK, WHOLE
from drift_parts.outcome import Outcome
from drift_parts.page import write_page, write_results
from drift_parts.plan import ALGORITHMS, Effort, Run, plan_runs
from drift_parts.runs import Runner
from nnunet_parts.results import require_same_settings


def main() -> None:
    """Run what is missing, and write tables and plot."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # MONAI calls deprecated parts of its own.
    parser = _parser()
    options = parser.parse_args()
    sizes, rounds, steps = (QUICK, 2, 2) if options.quick else (WHOLE, 8, 20)
    algorithms = options.algorithms or (["fedavg", "ditto"] if options.quick else list(ALGORITHMS))
    out = options.out or Path("runs/drift_quick" if options.quick else "runs/drift")
    rounds = rounds if options.rounds is None else options.rounds
    hospitals = dict.fromkeys(name for one in options.cohorts for name in sizes[one].train)
    if absent := [name for name in options.leave_out if name not in hospitals]:
        parser.error(f"--leave-out: no hospital is {', '.join(absent)}; allowed: {', '.join(hospitals)}")
    if rounds < 1:
        parser.error(f"--rounds: allowed: 1 or more (seen: {rounds})")
    effort = Effort(sizes, rounds, steps, options.device)
    try:
        open_device(ComputeSettings(device=options.device))
        out = output_folder(out, "--out")
        require_same_settings(out, [repr(effort)], "runs")
        with Display() as display:
            runner = Runner(out, effort, display)
            runs = plan_runs(options.cohorts, options.seeds, algorithms, options.leave_out)
            if options.write is None:
                _carry_out(runner, runs, display)
            outcomes = _done(runner, runs)
        print(write_results(out, outcomes))
        if options.write is not None:
            print(f"{options.write}: {', '.join(write_page(options.write, outcomes))}")
    except ConsiliumError as error:
        sys.exit(f"error: {error}")


def _carry_out(runner: Runner, runs: list[Run], display: Display) -> None:
    """Run what is missing; a job that fails is reported, and the others run."""
    missing = [run for run in runs if not runner.outcome_file(run).exists()]
    started, failed = time.monotonic(), []
    for done, run in enumerate(missing):
        left = (time.monotonic() - started) / done * (len(missing) - done) / 60 if done else None
        estimate = "" if left is None else f", about {left:.0f} min left"
        display.say(f"run {done + 1} of {len(missing)}: {run.name}{estimate}")
        try:
            runner.run(run)
        except ConsiliumError as error:
            failed.append(run.name)
            display.say(f"{run.name} failed: {error}")
        write_results(runner.out, _done(runner, runs))
    if failed:
        display.say(f"failed, and tried again by the next command: {', '.join(failed)}")


def _done(runner: Runner, runs: list[Run]) -> dict[Run, Outcome]:
    return {run: runner.run(run) for run in runs if runner.outcome_file(run).exists()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, help="folder for everything (default: runs/drift, quick: runs/drift_quick)")
    add("--cohorts", nargs="+", choices=COHORTS, default=list(COHORTS), help="default: all")
    add("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    names = ", ".join(f"{one.name} ({one.title})" for one in ALGORITHMS.values())
    add(
        "--algorithms",
        nargs="+",
        choices=list(ALGORITHMS),
        metavar="ALGORITHM",
        help=f"default: all, quick: fedavg ditto. {names}",
    )
    add(
        "--leave-out",
        nargs="+",
        default=[],
        metavar="HOSPITAL",
        help="each trains in all runs but one of federated averaging",
    )
    add("--rounds", type=int, help="of each job; the other models take as many steps (default: 8, quick: 2)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    add("--quick", action="store_true", help="two hospitals, two rounds of two steps, two algorithms")
    add("--write", type=Path, metavar="PAGE", help="put the tables into this page, and run nothing")
    return parser


if __name__ == "__main__":
    main()
