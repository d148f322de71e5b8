"""The report of any kind of job, from its record alone."""

from __future__ import annotations

from pathlib import Path

from consilium.data.files import private_folder, write_atomically
from consilium.records.federation import FederationRecord
from consilium.records.job_record import JobRecord
from consilium.records.readiness import ReadinessRecord
from consilium.report.readiness.page import render_readiness
from consilium.report.statistics.page import render_statistics
from consilium.report.training.build import PAGE_FILE, build_report


def write_report(folder: Path, record: JobRecord) -> Path:
    """Write a job's report into a folder, which is made where needed.

    It has no pictures of patients and nothing to compare with, as a record has neither.

    Returns:
        The page, `index.html`.

    Raises:
        OSError: If the folder can't be written.
    """
    if isinstance(record, FederationRecord):
        return build_report(folder, record, baselines=None, seconds={}, patients={})
    html = render_readiness(record) if isinstance(record, ReadinessRecord) else render_statistics(record)
    private_folder(folder, ours=False)
    page = folder / PAGE_FILE
    write_atomically(page, html.encode(), durable=False)
    return page
