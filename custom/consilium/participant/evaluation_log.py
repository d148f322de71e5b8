"""Log of the models that were evaluated on a site's patients, which limits how many are."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from consilium.counts import agree, counted
from consilium.data.split import EvaluatedSet
from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.weights import Weights
from consilium.participant.register_content import LoggedModel
from consilium.participant.register_files import open_register
from consilium.participant.site_settings import SiteSettings

MOST_OF_TRAINING: Final = 2
"""Models of one training that are evaluated on test patients: its final one, and its best one."""


class EvaluationLog:
    """The models that jobs have evaluated on the site's patients, and the limits on them.

    A server that had every round's model evaluated on test patients would choose by them, and report on
    patients that it has looked at. So a training gets `MOST_OF_TRAINING` models evaluated, and doesn't train
    here any more then. A job that evaluates models from elsewhere may choose by them, and a model can be made
    to ask something else than its task. So the hospital limits their number over all jobs, by its
    `max_evaluated_models`.

    The log is part of the site's register of patients. It is written before a model is evaluated, so a killed
    process, a resumed job or a repeated question find it. The same model again is no further look.

    Args:
        site: What the hospital decides.
        job: The job's id, as this site knows it; the server's word doesn't count.
    """

    def __init__(self, site: SiteSettings, job: str) -> None:
        self._site = site
        self._job = job

    def admit_trained(self, weights: Weights) -> int:
        """Record a model of a training before it is evaluated on the test patients.

        Args:
            weights: The model, as it was received.

        Returns:
            How many models were evaluated on the test patients before this job.

        Raises:
            SiteRefusal: If as many others of this job were already as may be.
            DataError: If the register can't be used.
        """
        model = LoggedModel(model=digest_weights(weights), job=self._job, set="test", kind="training")
        most = MOST_OF_TRAINING
        with open_register(self._site) as register:
            tested = _first_jobs(register.models)
            own = [job for job in tested.values() if job == self._job]
            if model.model not in tested and len(own) >= most:
                raise SiteRefusal(
                    f"{counted(most, 'model')} of this job {agree(most, 'was', 'were')} evaluated on its "
                    "test patients already: a job's final and its best model are, and no others",
                    code=RefusalCode.TESTED,
                )
            if model not in register.models:
                register.models.append(model)
            return _count_earlier(register.models, model)

    def admit_received(self, weights: Weights, patients: EvaluatedSet) -> int:
        """Record a model from elsewhere before a job that only evaluates has it evaluated.

        Args:
            weights: The model, as it was received.
            patients: The set that it will be evaluated on.

        Returns:
            How many models were evaluated on the test patients before this job; 0 for another set.

        Raises:
            SiteRefusal: If as many others were already as the hospital allows, over all jobs.
            DataError: If the register can't be used.
        """
        model = LoggedModel(model=digest_weights(weights), job=self._job, set=patients, kind="evaluation")
        limit = self._site.max_evaluated_models
        with open_register(self._site) as register:
            log = register.models
            received = {one.model for one in log if one.kind == "evaluation"}
            if limit == 0 or (model.model not in received and len(received) >= limit):
                raise SiteRefusal(
                    "it has evaluated as many models as its max_evaluated_models allows",
                    code=RefusalCode.MANY_MODELS,
                )
            if not any((one.model, one.set, one.kind) == (model.model, model.set, model.kind) for one in log):
                log.append(model)
            return _count_earlier(log, model) if patients == "test" else 0

    def require_none(self) -> None:
        """Decline to train once a model of the job was evaluated on the test patients.

        Raises:
            SiteRefusal: If one was.
            DataError: If the register can't be used.
        """
        with open_register(self._site) as register:
            if any(one.job == self._job and one.set == "test" for one in register.models):
                raise SiteRefusal(
                    "a model of this job was evaluated on its test patients already, and training after that "
                    "could choose by them",
                    code=RefusalCode.TESTED,
                )


def digest_weights(weights: Weights) -> str:
    """Return a hash of weights: names, number types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name}\0{array.dtype.str}\0{weights[name].shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _first_jobs(log: Sequence[LoggedModel]) -> dict[str, str]:
    """The models that were evaluated on test patients, in order, and the job that had each so first."""
    jobs: dict[str, str] = {}
    for one in log:
        if one.set == "test":
            jobs.setdefault(one.model, one.job)
    return jobs


def _count_earlier(log: Sequence[LoggedModel], model: LoggedModel) -> int:
    """How many models were evaluated on test patients before the job that first had this one evaluated.

    A resumed job has another id than the interrupted one, whose models are its own.
    """
    jobs = _first_jobs(log)
    return list(jobs.values()).index(jobs[model.model])
