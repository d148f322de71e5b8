"""`consilium demo`: run a whole federation on a laptop."""

from __future__ import annotations

from pathlib import Path

from consilium.cli.options import OutFolder, SyntheticTask
from consilium.cli.terminal import LOADING, say_result
from consilium.default_task import DEFAULT


def demo(
    out: OutFolder = Path("runs/demo"),
    task: SyntheticTask = DEFAULT,
) -> None:
    """Run a whole federation on this machine: four synthetic hospitals, one job, one report.

    Three hospitals of unequal size train one model in FLARE's simulator, under the policy of a real site; the
    fourth, a small clinic, only evaluates. The result is compared with each hospital alone and with all data
    pooled, and used on a new patient. Made for 2 cores and no GPU; run it again to repeat the training on the
    same hospitals.
    """
    from consilium.simulation.display import Display

    with Display() as display:
        display.show(LOADING)
        from consilium.simulation.demo import run_demo

        page = run_demo(out, display, task)
    say_result(page)
