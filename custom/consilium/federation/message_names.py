"""Names of tasks, headers and metadata that server and sites share."""

from typing import Final

CHECK: Final = "check"
PREPARE: Final = "prepare"
TRAIN: Final = "train"
VALIDATE: Final = "validate"
"""Score the last round's model on validation patients, which choose the best model."""

TEST: Final = "test"
"""Score the final or the best model on test patients; a site answers it only at the end of a job."""

LOCAL_ONLY: Final = "local_only"
EVALUATE: Final = "evaluate"

TASK_READY_TOPIC: Final = "consilium.task_ready"
"""Message from the server to sites of a job that wait: a task is ready for them. It carries nothing else."""

REASON_HEADER: Final = "consilium.reason"
"""Header of a refusal: one sentence for the operator, with nothing in it about a patient or a path."""

CODE_HEADER: Final = "consilium.code"
"""Header of a refusal: an `RefusalCode`."""

LEFT_OUT_HEADER: Final = "consilium.left_out"
"""Header of a refusal: the cases left out, counted by code as in a report."""

REFUSAL_HEADER: Final = "consilium.refusal"
"""Header of a task: why the server rejected this site's last answer; absent if it didn't."""

REFUSAL_CODE_HEADER: Final = "consilium.refusal_code"
"""Header of a task: the `RefusalCode` of that reason."""

REPORT_META: Final = "consilium.report"
"""Key of a reply's meta with the site's `SiteReport`."""

QUESTION_META: Final = "consilium.question"
"""Key of a task's meta with the algorithm's plain values for the sites."""

ANSWER_META: Final = "consilium.answer"
"""Key of a reply's meta with a site's answer to a question of the algorithm."""

VERSIONS_META: Final = "consilium.versions"
"""Key of a task's meta with the server's versions."""

SITE_STATE_EVENT: Final = "consilium_site_state"
"""Event by which a site reports what it is doing."""

RUN_META: Final = "consilium.run"
"""Key of a task's meta with the id of the job that the training began with: it stays the same
when an interrupted job is continued."""

RESUME_META: Final = "resume"
"""Key of a job's `meta.json`: the id of the interrupted job that it resumes."""

CHECKPOINT_EVENT: Final = "consilium_checkpoint"
"""Event after a round was made durable; its data are `round`, `time` (seconds since 1970) and `seconds`."""

INTERRUPTION_META: Final = "interruption"
"""Key of a job's metadata: `reason`, `durable_round` and, once it is known, `continued_by`, a job id."""

OUTCOME_META: Final = "outcome"
"""Key of a job's metadata (`nvflare job meta JOB_ID --format json`): `kind`, `reasons` and `time`."""

SECOND_STARTS_META: Final = "second_starts"
"""Key of a running job's metadata: the sites that were started in two places, each with a `SecondStart`."""

ABORT_META: Final = "aborted"
"""Key of a job's metadata: `by`, the user who aborted it, and `time`."""

STATS_GROUP: Final = "consilium"
"""Name under which a job's progress is in its stats, as `show_stats JOB_ID server` shows them."""
