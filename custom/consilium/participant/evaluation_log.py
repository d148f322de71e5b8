"""Log of the models that were evaluated on a site's test patients, which limits them in a job."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from consilium.counts import agree, counted
from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.weights import Weights
from consilium.participant.register_files import open_register
from consilium.participant.site_settings import SiteSettings

MOST_MODELS: Final = 2
"""Models of one training that are evaluated on test patients: its final one, and its best one."""


class EvaluationLog:
    """The models that one job has evaluated on the site's test patients.

    A server that had every round's model evaluated on them would choose by them, and report on patients that
    it has looked at. So a training gets `MOST_MODELS` of its models evaluated and trains no more here then.
    The log is part of the site's register: it is written before a model is scored, and a killed process, a
    resumption or a repeated question find it. The same model again is no further look.

    Args:
        site: What the hospital decides.
        job: The job's id, as this site knows it; the server's word doesn't count.
    """

    def __init__(self, site: SiteSettings, job: str) -> None:
        self._site = site
        self._job = job

    def admit(self, weights: Weights, most: int = MOST_MODELS) -> int:
        """Record a model that is about to be evaluated on the test patients.

        Args:
            weights: The model, as it was received.
            most: Models of the job that may be.

        Returns:
            How many jobs before had a model evaluated on them.

        Raises:
            SiteRefusal: If so many others of this job were already.
            DataError: If the register can't be used.
        """
        model = _digest(weights)
        with open_register(self._site) as register:
            jobs = register.tested
            own = jobs.get(self._job, [])
            if not any(model in models for models in jobs.values()):
                if len(own) >= most:
                    raise SiteRefusal(
                        f"{counted(most, 'model')} of this job {agree(most, 'was', 'were')} evaluated on "
                        "its test patients already: a job's final and its best model are, and no others",
                        code=RefusalCode.TESTED,
                    )
                jobs[self._job] = [*own, model]
            first = next((job for job, models in jobs.items() if model in models), self._job)
            return [*jobs].index(first)

    def require_none(self) -> None:
        """Decline to train once a model of the job was evaluated on the test patients.

        Raises:
            SiteRefusal: If one was.
            DataError: If the register can't be used.
        """
        with open_register(self._site) as register:
            if self._job in register.tested:
                raise SiteRefusal(
                    "a model of this job was evaluated on its test patients already, and training after that "
                    "could choose by them",
                    code=RefusalCode.TESTED,
                )


def _digest(weights: Weights) -> str:
    content = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        content.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        content.update(array.tobytes())
    return content.hexdigest()[:32]
