"""A statistics job on folders of cases, all on this machine, and its page."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from consilium.report.statistics.page import build_statistics_report
from consilium.report.statistics.record import STATISTICS_FILE, StatisticsRecord
from consilium.simulation.display import Display
from consilium.simulation.environment import SimulationError
from consilium.simulation.process import SimulatedJob
from consilium.simulation.study import site_settings

_SECONDS_BETWEEN_LOOKS = 0.5


class StatisticsStudy:
    """Simulates a statistics job and writes its page.

    Everything goes below one folder: `simulation/` (FLARE's workspace, with every site's log), `cache/` (what
    was found out about each case), `result/` (what the server would hand out), `report/`.

    Args:
        job: An exported job folder.
        sites: Site name to the folder with its cases.
        out: Where everything goes.
        display: Where progress is shown.

    Raises:
        ConfigurationError: If the job or the sites can't be used; nothing was started then.
    """

    def __init__(self, job: Path, sites: Mapping[str, Path], out: Path, *, display: Display) -> None:
        self._job = job
        self._out = out.resolve()
        self._sites = site_settings(sites, self._out, frozenset())
        self._display = display

    def run(self) -> Path:
        """Run the job; returns the page.

        Raises:
            SimulationError: If the job fails.
        """
        self._display.say(f"statistics of {', '.join(self._sites)} in FLARE's simulator")
        result = self._out / "result"
        with SimulatedJob(self._job, self._sites, self._out / "simulation") as simulation:
            while simulation.running():
                progress = simulation.progress()
                sites = sorted(progress.sites.items()) if progress else []
                line = ", ".join(f"{name} {state}" for name, state in sites)
                self._display.show(line or "starting FLARE")
                simulation.wait(_SECONDS_BETWEEN_LOOKS)
            record = StatisticsRecord.load(simulation.folder / STATISTICS_FILE)
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir(parents=True)
            record.save(result)
        if record.status != "finished":
            raise SimulationError(
                f"the statistics job failed: {record.reason}; FLARE's log is {simulation.log}"
            )
        for site, reason in record.missing.items():
            self._display.say(f"  {site} is NOT part of the statistics: {reason}")
        return build_statistics_report(result, self._out / "report")
