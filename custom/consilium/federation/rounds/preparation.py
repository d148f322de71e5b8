"""Preparation of a training job: its admission and its sites."""

from __future__ import annotations

import time

from consilium.counts import counted
from consilium.federation.message_names import PREPARE
from consilium.federation.rounds.failures import FailedJob
from consilium.federation.rounds.job_admission import AdmissionSettings, readiness_path, rejection
from consilium.federation.rounds.run import TrainingRun


class Preparation:
    """Admits a job, and has every site prepare its data.

    Args:
        run: The job that runs.
        admission: Demands on the readiness check; None for none.
    """

    def __init__(self, run: TrainingRun, admission: AdmissionSettings | None) -> None:
        self._run = run
        self._admission = admission

    def admit(self) -> None:
        """Look for the readiness check that the job demands.

        Raises:
            FailedJob: If the job may not start.
        """
        if self._admission is None:
            return
        controller = self._run.controller
        task = self._run.plan.learning.task
        path = readiness_path(controller.engine.get_workspace(), task)
        reason = rejection(path, self._admission, controller.connected_sites(), task)
        if reason is not None:
            raise FailedJob(reason)

    def prepare_sites(self) -> None:
        """Let every site get ready.

        Raises:
            AbortedJob: If the job was aborted.
            FailedJob: If too few of them can train.
        """
        run, answers = self._run, self._run.answers
        started = time.monotonic()
        run.controller.info("waiting until every site has prepared its data")
        run.ask(PREPARE, {}, 0)
        run.record.preparation = answers.sites
        run.record.preparation_seconds = time.monotonic() - started
        lack = run.plan.quorum.lack(answers.able, answers.cases)
        if lack is not None:
            run.stop_if_late("before all sites had prepared their data")
            able = answers.able
            raise FailedJob(f"{counted(len(able), 'site')} can train, {lack}; {answers.explain_others(able)}")
        run.save()
