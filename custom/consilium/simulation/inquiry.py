"""A readiness or statistics job on folders of this machine, with its page."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consilium.data.files import private_folder
from consilium.errors import ConfigurationError
from consilium.participant.site_settings import SiteSettings
from consilium.records.job_record import JobRecord, find_record, load_record
from consilium.report.write import write_report
from consilium.simulation.display import Display
from consilium.simulation.environment import SimulationError
from consilium.simulation.hospitals import WORKSPACE
from consilium.simulation.process import SimulatedJob
from consilium.simulation.study import with_report


@dataclass(frozen=True)
class InquiryAnswers:
    """The sites' answers.

    Attributes:
        record: What the server wrote down.
        page: The report.
    """

    record: JobRecord
    page: Path


class Inquiry:
    """Simulates a job that asks and trains nothing: a readiness check, or statistics.

    Everything goes below one folder: `simulation/` (FLARE's workspace, with every site's log), `cache/` (what
    was found out about each case), `result/` (what the server would hand out), `report/`.

    Args:
        job: An exported job folder.
        sites: Site name to what the hospital decides, see `site_settings`.
        out: Where everything goes.
        display: Where progress is shown.
    """

    def __init__(
        self,
        job: Path,
        sites: Mapping[str, SiteSettings],
        out: Path,
        *,
        display: Display,
    ) -> None:
        self._job = job
        self._out = out.resolve()
        self._sites = sites
        self._display = display

    def run(self) -> InquiryAnswers:
        """Run the job.

        Raises:
            SimulationError: If the job fails. Its message names the report, which is written as far as the
                server has a record.
        """
        self._display.say(f"{self._job.name} at {', '.join(self._sites)} in FLARE's simulator")
        result = self._out / "result"
        with SimulatedJob(self._job, self._sites, self._out / WORKSPACE) as simulation:
            try:
                simulation.watch(self._display.show)
            except SimulationError as error:
                raise with_report(error, simulation.folder, self._out / "report") from None
            try:
                path = find_record(simulation.folder)
            except ConfigurationError:
                raise SimulationError(
                    f"the job ended without a record; FLARE's log is {simulation.log}"
                ) from None
            shutil.rmtree(result, ignore_errors=True)
            private_folder(result)
            shutil.copy2(path, result)
        record = load_record(result)
        return InquiryAnswers(record, write_report(self._out / "report", record))
