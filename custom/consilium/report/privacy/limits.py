"""What the protections of a job do not cover."""

from __future__ import annotations

from collections.abc import Iterator

from consilium.report.privacy.facts import EvaluationFacts, JobFacts, StatisticsFacts, TrainingFacts


def not_covered(job: JobFacts) -> Iterator[str]:
    """Yield, a sentence or two each, what could still reveal something about a patient.

    Args:
        job: The job.
    """
    kind = job.of_kind
    if isinstance(kind, TrainingFacts):
        yield (
            "Reconstruction: images were reconstructed from gradients of single images and small batches "
            "(Zhu et al. 2019, arXiv:1906.08935; Geiping et al. 2020, arXiv:2003.14053). Many steps, large "
            "batches and many patients make it harder, not impossible."
        )
        yield (
            "Membership inference: an update or a model can reveal whether somebody was trained on (Shokri "
            "et "
            "al. 2017, arXiv:1610.05820), wherever the final model goes and as long as it exists."
        )
        yield (
            "A server that sends a model made to single out a patient (Boenisch et al. 2021, "
            "arXiv:2112.02918)."
        )
        yield (
            "Withdrawal: a patient who withdraws is left out of later jobs; nothing removes what a model "
            "learned from them before."
        )
        yield "Updates of two jobs before and after a patient arrived: they also differ by this patient."
    if isinstance(kind, EvaluationFacts):
        yield (
            "A model made to single out a patient: its mean score reveals something about that patient. Each "
            "further model asks about the same patients once more."
        )
    if isinstance(kind, EvaluationFacts | StatisticsFacts):
        yield (
            "Arrivals: a count changes by a group of patients when the last of them arrives; a bin of the "
            "difference may hold one patient."
        )
    if job.has_counts and isinstance(kind, TrainingFacts | EvaluationFacts):
        yield (
            "Cells of one: counts in scores are exact. Anybody who knows the result of all other patients "
            "of the set "
            "learns the last one's."
        )
    yield "Background knowledge: anybody who knows all patients of a group but one can subtract them."
    yield (
        "Root at the hospital, at the server or in a user's account; a stolen kit acts as the hospital or "
        "user."
    )
    yield "What people do with a result, a report or a model once they have it."
