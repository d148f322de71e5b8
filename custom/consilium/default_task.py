"""The default task, and the name of a task's main job; a module of its own so that commands load no task."""

from typing import Final

DEFAULT: Final = "brain_tumor"

MAIN_JOB: Final = "fedavg"
"""End of the name of the training job that every task has, and name of its recipe."""


def training_job(task: str = DEFAULT) -> str:
    """Return the name of a task's main training job.

    Example:
        >>> training_job("toy")
        'toy_fedavg'
    """
    return f"{task}_{MAIN_JOB}"
