"""Errors that Consilium raises on purpose, and the codes of its refusals.

Every error derives from `ConsiliumError`; anything else is a bug. A message says what failed, the value seen,
what is allowed and the next command to type. It may name a path or a patient, as it is for the person at the
hospital's own machine; only `SiteRefusal.public_reason` and its code may leave the site.
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
    """Work that stopped early because its caller asked for it."""


class RefusalCode(str, Enum):
    """Codes for a site's decline, for rejections, and for a job's end.

    The set is closed: a code is sent and shown beside every reason, `consilium.records.remedies` has a
    remedy for each, and no program looks at the words of a reason.
    """

    # A site declines a task:
    VERSIONS = "versions"
    TASK = "task"
    DATASET = "dataset"
    NO_LABELED_CASE = "no_labeled_case"
    LEFT_OUT = "left_out"
    MISSING_INPUTS = "missing_inputs"
    MISSING_TARGETS = "missing_targets"
    LOST_CASES = "lost_cases"
    FEW_PATIENTS = "few_patients"
    FEW_PATIENTS_A_ROUND = "few_patients_a_round"
    GPU_MEMORY = "gpu_memory"
    NO_LOCAL_ONLY = "no_local_only"
    LOCAL_MODEL = "local_model"
    ONLY_EVALUATES = "only_evaluates"
    MANY_MODELS = "many_models"
    PRIVACY_DEMAND = "privacy_demand"
    PRIVACY_BUDGET = "privacy_budget"
    PRIVACY_LEDGER = "privacy_ledger"
    DECLINED = "declined"
    TESTED = "already_tested"
    SECURE_AGGREGATION = "secure_aggregation"
    ROUND_OPENED = "round_opened"
    FAILED = "failed"
    ABORTED = "aborted"
    # The server rejects an answer, or does without a site:
    UPDATE = "update"
    REPEATED_UPDATE = "repeated_update"
    ANSWER = "answer"
    SCORES = "scores"
    EXCLUDED = "excluded"
    LATE = "late"
    LOST = "lost"
    NOT_CONNECTED = "not_connected"
    SERVER_DISK = "server_disk"
    # The server or a site rejects a job:
    JOB_ARCHIVE = "job_archive"
    JOB_CONTENT = "job_content"
    JOB_DESCRIPTION = "job_description"
    JOB_CLASS = "job_class"
    JOB_UNSIGNED = "job_unsigned"
    JOB_SIGNATURE = "job_signature"
    JOB_SIGNER = "job_signer"
    JOB_REPEATED = "job_repeated"
    JOB_UNKNOWN = "job_unknown"
    JOB_MEMORY = "job_memory"
    JOB_GUARD = "job_guard"
    # A process rejects what reaches it:
    MESSAGE = "message_rejected"
    COMMAND = "command_rejected"
    COMMAND_RIGHT = "command_right"
    CONNECTION = "connection_rejected"
    SECOND_START = "second_start"
    # A job ended:
    ROUND_DROPPED = "round_dropped"
    NO_UPDATE = "no_update"
    JOB_ABORTED = "job_aborted"
    JOB_FAILED = "job_failed"
    JOB_SETTINGS = "job_settings"
    JOB_DEADLINE = "job_deadline"
    NO_QUORUM = "no_quorum"
    NO_SCORES = "no_scores"
    SCORES_HELD_BACK = "scores_held_back"
    SERVER_ERROR = "server_error"
    INTERRUPTED = "interrupted"
    NO_PROGRESS = "no_progress"
    MODEL_FILE = "model_file"

    @property
    def lasts(self) -> bool:
        """Whether the same task, repeated in the same job, meets the same refusal.

        A round is drawn by its seed, so an update that equals another one does so again; and a site reads its
        settings, and counts its patients, once in a job.
        """
        return self in _LASTING


_LASTING = frozenset(
    {
        RefusalCode.VERSIONS,
        RefusalCode.TASK,
        RefusalCode.MISSING_INPUTS,
        RefusalCode.LOST_CASES,
        RefusalCode.FEW_PATIENTS,
        RefusalCode.FEW_PATIENTS_A_ROUND,
        RefusalCode.MANY_MODELS,
        RefusalCode.PRIVACY_DEMAND,
        RefusalCode.PRIVACY_BUDGET,
        RefusalCode.REPEATED_UPDATE,
        RefusalCode.EXCLUDED,
        RefusalCode.TESTED,
    }
)


class JobRejected(ConfigurationError):
    """A job that the server or a site does not accept.

    Args:
        reason: What is wrong with it, for its submitter.
        code: The kind of reason.
    """

    def __init__(self, reason: str, *, code: RefusalCode = RefusalCode.JOB_CONTENT) -> None:
        super().__init__(reason)
        self.code = code


class SiteRefusal(ConsiliumError):
    """This site declines a task.

    Args:
        public_reason: One sentence for the operator at the server. It leaves the hospital, so it holds counts
            and codes only: never a patient's identifier, a path or a file name.
        code: The kind of reason.
        left_out: Cases left out, by code, as far as their number may leave the site.
        details: Lines for the site's own log, which may name patients; part of the message, and of no answer.
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
        self.details = tuple(details)
