"""The errors that Consilium raises on purpose.

Everything derives from `ConsiliumError`, so that a caller can tell "you can mend this" from a bug. Messages
say what failed, the value seen, what is allowed, and the next command to type. A message may name a path or a
patient: it is for the person at the hospital's own machine. What may leave the site is
    `SiteRefusal.public_reason` and
nothing else.
"""

from collections.abc import Mapping, Sequence
from enum import Enum


class ConsiliumError(Exception):
    """Base of every error that Consilium raises on purpose."""


class ConfigurationError(ConsiliumError):
    """A setting, a job or a command line is wrong; nothing was started."""


class DataError(ConsiliumError):
    """A folder, an image or a label can't be used."""


class TrainingError(ConsiliumError):
    """Training had to stop, for example because the loss became non-finite."""


class Cancelled(ConsiliumError):
    """The caller asked to stop, and the work stopped before it was done."""


class RefusalCode(str, Enum):
    """Why a site has no part in a task; it travels with the reason, and the remedy is found by it."""

    # Said by the site:
    VERSIONS = "versions"
    TASK = "task"
    DATASET = "dataset"
    NO_LABELED_CASE = "no_labeled_case"
    LEFT_OUT = "left_out"
    LOST_CASES = "lost_cases"
    FEW_PATIENTS = "few_patients"
    FEW_PATIENTS_A_ROUND = "few_patients_a_round"
    NO_LOCAL_ONLY = "no_local_only"
    DECLINED = "declined"
    FAILED = "failed"
    ABORTED = "aborted"
    # Said by the server:
    UPDATE = "update"
    REPEATED_UPDATE = "repeated_update"
    ANSWER = "answer"
    SCORES = "scores"
    EXCLUDED = "excluded"
    LATE = "late"
    LOST = "lost"
    SERVER_DISK = "server_disk"

    @property
    def lasts(self) -> bool:
        """Whether the same task, asked again in the same job, meets the same absence.

        A round is drawn by its seed, so the update that is the same as another's is so again; and a site
        reads its settings, and counts its patients, once in a job.
        """
        return self in _LASTING


_LASTING = frozenset(
    {
        RefusalCode.VERSIONS,
        RefusalCode.TASK,
        RefusalCode.LOST_CASES,
        RefusalCode.FEW_PATIENTS,
        RefusalCode.FEW_PATIENTS_A_ROUND,
        RefusalCode.REPEATED_UPDATE,
        RefusalCode.EXCLUDED,
    }
)


class SiteRefusal(ConsiliumError):
    """This site declines a task.

    Args:
        public_reason: One sentence for the operator at the server. It leaves the hospital, so it holds counts
            and codes only: never a patient's identifier, a path or a file name.
        code: What kind of reason it is.
        left_out: Cases left out, by code, as far as their number may leave the site.
        details: Lines for the site's own log, which may name patients; they are part of the message only.
    """

    def __init__(
        self,
        public_reason: str,
        *,
        code: RefusalCode = RefusalCode.DECLINED,
        left_out: Mapping[str, int | None] | None = None,
        details: Sequence[str] = (),
    ) -> None:
        super().__init__("\n  ".join([public_reason, *details]))
        self.public_reason = public_reason
        self.code = code
        self.left_out = dict(left_out or {})
