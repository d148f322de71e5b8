"""Status of a site's jobs for a terminal, for the people at the hospital."""

from __future__ import annotations

from consilium.counts import counted
from consilium.records.site_status import Refusal, SiteStatus
from consilium.report.code_texts import LEFT_OUT, remedy
from consilium.report.status.job import clock

_CHECK = "check"
"""The task of a readiness check; statistics have no rounds either."""
_WAITING = {
    "sent": "sent its answer; waiting for the server",
    "ready": "ready; waiting for the server",
    "checked": "checked; waiting for the server",
}


def describe_site(status: SiteStatus) -> list[str]:
    """Return lines for the people at the hospital."""
    return [
        f"{status.job} {status.job_id}: {_where(status)}",
        *(f"  {line}" for line in _cases(status)),
        *(f"  {line}" for line in _gain(status)),
        *(f"  {line}" for line in _refusals(status)),
        f"  log: {status.log}",
    ]


def _where(status: SiteStatus) -> str:
    place = f"round {status.round} of {status.rounds}; " if status.round else ""
    state = _WAITING.get(status.state, status.state)
    count = f" {status.done} of {status.total}" if status.total else ""
    if status.ended is not None:
        end = {
            "success": "the job ended with success",
            "partial": "the job ended partially: a hospital was missing somewhere",
            "failure": "the job failed",
            None: (
                f"{place}this site's part ended while {state}{count}: the site was stopped, or the job was "
                "aborted, before the server said how it ended"
            ),
        }[status.outcome]
        then = ""
        if status.stopped:
            then = (
                "; if the job still runs, the site takes part again once it is started (startup/start.sh); "
                "the lead data scientist sees how the job stands"
            )
        return f"{end}, {clock(status.ended)}; {_part(status)}{then}"
    if status.lost:
        return (
            f"{place}its process is gone, last seen {clock(status.updated)} ({state}{count}); the server "
            "starts it again while the site is connected"
        )
    return f"{place}{state}{count}, since {clock(status.since)}"


def _part(status: SiteStatus) -> str:
    if status.task == _CHECK:
        return "this site answered the readiness check" if status.state == "checked" else "it did not answer"
    if status.role == "evaluates":
        return "this site evaluated the models and trained none"
    if not status.rounds_trained:
        return "this site trained in no round"
    return f"this site trained in {counted(status.rounds_trained, 'round')}"


def _cases(status: SiteStatus) -> list[str]:
    if status.train_cases is None or status.validation_cases is None:
        return []
    test = status.test_cases or 0
    used, left_out = status.train_cases + status.validation_cases + test, sum(status.left_out.values())
    unused = status.held_back + status.trained_before + left_out
    lines = [
        f"used {used} of {counted(used + unused, 'case')}: {status.train_cases} to "
        "train, "
        f"{status.validation_cases} to validate, {test} to test"
    ]
    if status.held_back:
        lines.append(
            f"{status.held_back} held back: no model is evaluated on them, as the difference to earlier "
            "scores would be of fewer patients than min_training_patients (or min_count, where scores hold "
            "counts)"
        )
    if status.trained_before:
        lines.append(
            f"{status.trained_before} not evaluated on: this site trained on their patients, or chose models "
            "by them, before it only evaluated"
        )
    if left_out:
        lines.append(f"{left_out} left out: see {status.left_out_file}")
    for code, count in status.left_out.items():
        lines.append(f"  {count} {code}: {LEFT_OUT}. {remedy(code)}")
    return lines


def _gain(status: SiteStatus) -> list[str]:
    gain, metrics, patients = status.gain, status.metrics, status.patient_gains
    if gain is None or metrics is None:
        return []
    key = metrics.key_metric
    local, federated = key.text(gain.local[key.name]), key.text(gain.federated[key.name])
    line = (
        f"{metrics.key_name} {federated} with the federation's model and {local} with the one trained here "
        f"alone ({key.gain_text(gain.gains[key.name].mean)})"
    )
    if patients:
        better = f"{sum(one > 0 for one in patients)} of {counted(len(patients), 'patient')}"
        ends = f"from {key.gain_text(patients[0])} to {key.gain_text(patients[-1])}"
        line = f"{line}; better for {better}, {ends}"
    lines = [line]
    if status.local_only_folder is not None:
        lines.append(f"  the model trained alone, and each patient's scores: {status.local_only_folder}")
    return lines


def _refusals(status: SiteStatus) -> list[str]:
    """Return each reason once, with when it was last given and how often."""
    alike: dict[tuple[str, str], list[Refusal]] = {}
    for one in status.refusals:
        alike.setdefault((one.by, one.reason), []).append(one)
    lines = []
    for (by, reason), refusals in alike.items():
        last = refusals[-1]
        place = f"round {last.round}" if last.round else last.task
        often = f", {counted(len(refusals), 'time')}" if len(refusals) > 1 else ""
        who = "the server did not use its answer" if by == "server" else "this site declined"
        lines.append(f"{place}, {clock(last.time)}{often}: {who}: {reason}")
    return lines
