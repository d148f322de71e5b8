"""Start of a site's part in a training: what the job offers, the cases, what the patients' budget allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nvflare.apis.job_def import is_valid_job_id

from consilium.data.case_format import Progress
from consilium.data.files import private_folder
from consilium.federation.site.training_folder import training_folder
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.participant.case_admission import missing_targets_refusal
from consilium.participant.hospital_payments import HospitalPayments, require_coverable
from consilium.participant.participant import Participant
from consilium.participant.privacy_payments import PrivacyPayments, require_offer
from consilium.participant.site_data import prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.tasks.learning_settings import LearningSettings


def start_participant(
    site: SiteSettings,
    learning: LearningSettings,
    algorithm: AlgorithmSettings,
    *,
    job: str,
    run: Any,
    rounds: int,
    min_sites: int,
    name: str,
    local: Path,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> Participant:
    """Prepare a site's cases for a job that it may take part in.

    A job that offers less than the hospital demands is declined before anything but settings is read. One
    whose plan would pass the patients' budget is declined before its first step.

    Args:
        site: What the hospital decides.
        learning: What the job decides about training.
        algorithm: What it decides about its algorithm.
        job: The job's id.
        run: Id of the job that the training began with, as the server reports it; another one than `job`
            where it is resumed.
        rounds: Rounds of the training.
        min_sites: Fewest sites whose updates make a round.
        name: The site's name.
        local: Folder of the hospital's own files.
        progress: See `prepare_site`.
        cancelled: See `prepare_site`.

    Raises:
        SiteRefusal: The site can't or may not take part.
        ConsiliumError: See `prepare_site` and `Participant`.
    """
    require_admissible(site, learning, algorithm, min_sites)
    data = prepare_site(site, learning, run=str(run), name=name, progress=progress, cancelled=cancelled)
    begun_as = run if isinstance(run, str) and is_valid_job_id(run) else job
    payments = PrivacyPayments(site, data, learning, algorithm, job=job, run=begun_as)
    # A resumed training has an unknown number of rounds left; each of them is still declined by itself.
    left = rounds if begun_as == job else 1
    payments.admit(rounds, left=left)
    hospital = HospitalPayments(site, data, lambda: algorithm.sum_noise(local), job=job, run=begun_as)
    hospital.admit(left)
    memory = training_folder(site.cache_dir, run)
    if memory is not None and algorithm.promise().epsilon is not None:
        # The server names the run. An optimizer's moments from training without noise would show in a step.
        memory = private_folder(memory / algorithm.name)
    return Participant(
        data, learning, site, memory=memory, algorithm=algorithm, payments=payments, hospital=hospital
    )


def require_admissible(
    site: SiteSettings, learning: LearningSettings, algorithm: AlgorithmSettings, min_sites: int
) -> None:
    """Decline a job by settings alone, before anything else is read or answered.

    Args:
        site: What the hospital decides.
        learning: What the job decides about training.
        algorithm: What it decides about its algorithm.
        min_sites: Fewest sites whose updates make a round.

    Raises:
        SiteRefusal: The job offers less than the hospital demands, or needs what its labels lack.
    """
    require_offer(site, algorithm, sites=min_sites)
    require_coverable(site, algorithm)
    declined = missing_targets_refusal(site, learning, algorithm)
    if declined is not None:
        raise declined
