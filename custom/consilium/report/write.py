"""The report of any kind of job, from its record alone."""

from __future__ import annotations

import json
from pathlib import Path

from consilium.data.files import private_folder, write_atomically
from consilium.records.evaluation import EvaluationRecord
from consilium.records.federation import FederationRecord
from consilium.records.job_record import JobRecord
from consilium.records.readiness import ReadinessRecord
from consilium.report.models.page import draw_key_measure, render_models
from consilium.report.models.summary import to_csv, to_json
from consilium.report.readiness.page import render_readiness
from consilium.report.statistics.page import render_statistics
from consilium.report.training.build import PAGE_FILE, build_report
from consilium.tasks import get_task


def write_report(folder: Path, record: JobRecord) -> Path:
    """Write a job's report into a folder, which is made where needed.

    It has no pictures of patients and nothing to compare with, as a record has neither.

    Returns:
        The page, `index.html`.

    Raises:
        ConfigurationError: If the record is of a task that is not installed, where its page needs it.
        OSError: If the folder can't be written.
    """
    if isinstance(record, FederationRecord):
        return build_report(folder, record, baselines=None, seconds={}, patients={})
    files: dict[str, str] = {}
    if isinstance(record, EvaluationRecord):
        task = get_task(record.task)
        files["report.json"] = json.dumps(to_json(record, task), indent=1)
        files["models.csv"] = to_csv(record, task)
        figure = draw_key_measure(record, task)
        if figure is not None:
            files["models.svg"] = figure
        html = render_models(record, figure)
    elif isinstance(record, ReadinessRecord):
        html = render_readiness(record)
    else:
        html = render_statistics(record)
    private_folder(folder, ours=False)
    for name, content in {**files, PAGE_FILE: html}.items():
        write_atomically(folder / name, content.encode(), durable=False)
    return folder / PAGE_FILE
