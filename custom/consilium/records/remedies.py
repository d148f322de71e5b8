"""Remedies by refusal code."""

from __future__ import annotations

from typing import Final

from consilium.errors import RefusalCode

_ASK_THE_SITE: Final = (
    "ask its IT department: `consilium status --site KIT` there shows the reason and names the log"
)

_COMES_BACK: Final = (
    "it is taken in again when it is back; if it stays away, its IT department starts it (startup/start.sh)"
)
_ASKED_AGAIN: Final = (
    "it is asked again in the next round; if that persists, have the site look at its loss and its data"
)
TASKS_AFTER_ROUNDS: Final = frozenset({"validate", "test", "local_only"})
"""What a site misses in these, the job doesn't ask for again."""

_REMEDIES: Final[dict[RefusalCode, str]] = {
    RefusalCode.VERSIONS: "install the federation's versions of consilium and nvflare at the site; "
    "`consilium check-site KIT` there compares them",
    RefusalCode.TASK: "nothing, unless the hospital wants to take part in this task: its IT department then "
    "installs the package that provides it, and lists it under `tasks` in the site's local/privacy.json",
    RefusalCode.DATASET: "`consilium check-site KIT` at the site says what is wrong with `dataset` in its "
    "local/privacy.json",
    RefusalCode.NO_LABELED_CASE: "`consilium check DATASET` at the site names the cases and what fixes each; "
    "it can take part again with labeled ones",
    RefusalCode.LEFT_OUT: "`consilium check DATASET` at the site names the cases and what fixes each; or its "
    "IT department raises max_left_out",
    RefusalCode.MISSING_INPUTS: "the hospital agrees to do without the image (missing_inputs in its "
    "local/privacy.json), and the job is one whose model learns to (docs/jobs.md)",
    RefusalCode.MISSING_TARGETS: "nothing, unless the hospital adds the missing targets to its labels and "
    "takes them out of missing_targets in its local/privacy.json; it can train without them in jobs without "
    "secure aggregation",
    RefusalCode.LOST_CASES: "the site's log names the cases; its IT department looks at the disk of "
    "cache_dir, and the next job prepares them again",
    RefusalCode.FEW_PATIENTS: "the site has too few patients for its own min_training_patients, or for "
    "min_count of statistics and of scores with counts; more labeled patients, or a lower minimum, is for "
    "the hospital to decide",
    RefusalCode.FEW_PATIENTS_A_ROUND: "a job with more local_steps, local_epochs or a larger batch_size "
    "shows the network more patients",
    RefusalCode.GPU_MEMORY: "nvidia-smi at the site shows which programs hold the GPU's memory: its IT "
    "department ends those that need not run; if it is free and still too small, a job with a smaller "
    "batch_size or smaller samples fits",
    RefusalCode.NO_LOCAL_ONLY: "nothing: the hospital decided so in its local/privacy.json (local_only); it "
    "has its part in the federation's model all the same",
    RefusalCode.LOCAL_MODEL: "the hospital trains one with `consilium train JOB --kit KIT`, and names it as "
    "local_only_model in its local/privacy.json; its log says what is wrong with one that it names",
    RefusalCode.PRIVACY_DEMAND: "submit a job that offers what the reason demands, such as one with "
    "differential privacy and a smaller epsilon; the hospital decides it in its local/privacy.json (privacy)",
    RefusalCode.PRIVACY_BUDGET: "submit a job with fewer rounds or a smaller epsilon; `consilium ledger show "
    "KIT` at the site says what is left, and only the hospital can raise its budget",
    RefusalCode.PRIVACY_LEDGER: "`consilium ledger verify KIT` at the site says what is wrong; its IT "
    "department restores both files of the ledger from their newest copy",
    RefusalCode.DECLINED: _ASK_THE_SITE,
    RefusalCode.SECURE_AGGREGATION: "the site's log says what; each hospital makes an identity, "
    "`consilium identity create KIT`, and pins the others', `consilium identity pin`",
    RefusalCode.ROUND_OPENED: "nothing: the job continues with the model before this round",
    RefusalCode.TESTED: "submit another job: a hospital's test patients are looked at once in a job, after "
    "its last round",
    RefusalCode.FAILED: _ASK_THE_SITE,
    RefusalCode.ABORTED: "nothing: the task was called off",
    RefusalCode.UPDATE: _ASKED_AGAIN,
    RefusalCode.REPEATED_UPDATE: "ask both sites whether they hold the same patients, or one runs a copy of "
    "the other's kit; patients that two hospitals share stay at one of them",
    RefusalCode.ANSWER: "the site may run another version of consilium; `consilium check-site KIT` there "
    "says which",
    RefusalCode.SCORES: _ASKED_AGAIN,
    RefusalCode.EXCLUDED: "have the site find out why its answers were rejected; it is asked again by the "
    "next job",
    RefusalCode.LATE: "it is asked again in the next round; if it is only slow, a longer "
    "quorum.deadline_minutes or grace_minutes of the job waits for it",
    RefusalCode.LOST: _COMES_BACK,
    RefusalCode.SERVER_DISK: "make room on the server's disk; the site is asked again in the next round",
    RefusalCode.NOT_CONNECTED: _COMES_BACK,
    RefusalCode.ONLY_EVALUATES: "nothing: the hospital only evaluates, as its local/privacy.json says",
    RefusalCode.MANY_MODELS: "the hospital decides how many models it evaluates in all: its IT department "
    "raises max_evaluated_models in its local/privacy.json",
    RefusalCode.JOB_ARCHIVE: "submit the job's folder as `consilium jobs` or `make jobs` writes it",
    RefusalCode.JOB_CONTENT: "write the job again with `consilium jobs` of the federation's version, and "
    "change only what docs/jobs.md lists",
    RefusalCode.JOB_DESCRIPTION: "correct the entry of meta.json that the reason names; docs/jobs.md lists "
    "what is allowed there",
    RefusalCode.JOB_CLASS: "a job may name the classes of the site's class_allow_list only; its IT "
    "department sets that list",
    RefusalCode.JOB_UNSIGNED: "submit it from a console with a startup kit's key",
    RefusalCode.JOB_SIGNATURE: "submit it again with a valid startup kit of this federation; its certificate "
    "may have expired",
    RefusalCode.JOB_SIGNER: "have a user submit it whose role has the right to; each site's "
    "local/authorization.json says which",
    RefusalCode.JOB_REPEATED: "submit it again as a new job",
    RefusalCode.JOB_UNKNOWN: "submit it again; if it persists, the site's audit log says what it rejected",
    RefusalCode.JOB_MEMORY: "the site's IT department looks at accepted_jobs.json in its workspace, and "
    "restores it or moves it away",
    RefusalCode.JOB_GUARD: "ask the project admin for a new kit",
    RefusalCode.MESSAGE: "nothing, if its sender is a stranger; if it is a process of the federation, "
    "`consilium check-site KIT` there compares versions",
    RefusalCode.COMMAND: "nothing at the server: the hospital does this at its own machine",
    RefusalCode.COMMAND_RIGHT: "ask the project admin for a kit whose role has the right; `consilium "
    "check-site KIT` shows the rights of each role at a site",
    RefusalCode.CONNECTION: "nothing, if its sender is a stranger; `consilium check-site KIT` at the site "
    "checks its kit",
    RefusalCode.SECOND_START: "stop one of the two there (consilium site stop KIT), as a kit runs once; the "
    "other one then joins within a minute. If one of them isn't yours, the kit is stolen",
    RefusalCode.ROUND_DROPPED: "see to what the reason names: sites that could not open their sum, or a "
    "training that makes the model worse (learning.learning_rate, rollback_margin)",
    RefusalCode.NO_UPDATE: "see to what the other reasons name; where hospitals take turns, give more "
    "rounds, several times as many as there are hospitals",
    RefusalCode.JOB_ABORTED: "nothing: a user aborted it; submit it with resume to continue it",
    RefusalCode.JOB_FAILED: "the server's log of the job says more",
    RefusalCode.JOB_SETTINGS: "correct the setting that the reason names, and submit the job again",
    RefusalCode.JOB_DEADLINE: "submit it with resume, and a longer deadline_hours if needed",
    RefusalCode.NO_QUORUM: "see to the sites that the reasons name, then submit the job with resume",
    RefusalCode.NO_SCORES: "see to the sites that the reasons name, then submit the job with resume",
    RefusalCode.SCORES_HELD_BACK: "a hospital with more labeled patients, one that only evaluates and so "
    "with all of its patients, or one that sets this minimum lower in its local/privacy.json sends scores",
    RefusalCode.SERVER_ERROR: "the server's log of the job has the error; submit the job with resume once "
    "that is fixed",
    RefusalCode.INTERRUPTED: "nothing: it continues once enough sites are connected",
    RefusalCode.MODEL_FILE: "write the job again with `consilium jobs export`, and put the files that it "
    "writes beside the job into local/models/ of the server's kit",
    RefusalCode.NO_PROGRESS: "look into the server's log, then submit the job with resume",
}

_REMEDIES_AFTER_ROUNDS: Final[dict[RefusalCode, str]] = {
    RefusalCode.UPDATE: "have the site look at its loss and its data",
    RefusalCode.SCORES: "have the site look at its loss and its data",
    RefusalCode.LATE: "this job doesn't ask for it again; the next job waits longer with a longer "
    "quorum.deadline_minutes or grace_minutes",
    RefusalCode.NOT_CONNECTED: "this job doesn't ask for it again; if the site stays away, its IT "
    "department starts it (startup/start.sh)",
    RefusalCode.LOST: "this job doesn't ask for it again; if the site stays away, its IT department starts "
    "it (startup/start.sh)",
    RefusalCode.SERVER_DISK: "make room on the server's disk; this job doesn't ask for it again",
}

_REMEDIES_OF_INQUIRIES: Final[dict[RefusalCode, str]] = {
    RefusalCode.LATE: "repeat the job with a longer timeout_minutes, or once the site's IT department has "
    "seen to it: `consilium status --site KIT` there",
}

_INQUIRIES: Final = frozenset({"check", "statistics", "evaluate"})
"""Jobs that ask each site once."""


def remedy_for(code: RefusalCode | None, task: str = "train") -> str:
    """Return the remedy for a refusal.

    Args:
        code: The kind of refusal; None where it is unknown.
        task: The task of the site, such as `train`, `validate`, `local_only` or `check`.
    """
    if task in _INQUIRIES and code in _REMEDIES_OF_INQUIRIES:
        return _REMEDIES_OF_INQUIRIES[code]
    if task in TASKS_AFTER_ROUNDS and code in _REMEDIES_AFTER_ROUNDS:
        return _REMEDIES_AFTER_ROUNDS[code]
    return _ASK_THE_SITE if code is None else _REMEDIES[code]
