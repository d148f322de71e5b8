"""Status of a job for a terminal, as tables or lines."""

from __future__ import annotations

import math
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consilium.counts import counted
from consilium.records.job_status import NOBODY, Interruption, JobStatus, describe_second_start
from consilium.records.progress import EndReason, JobProgress, Problem, SiteProgress
from consilium.records.remedies import remedy_for
from consilium.records.texts import clean_line, clean_text
from consilium.report.terminal import Terminal, folding_table

_STYLES = {"success": "green", "partial": "yellow", "failure": "red"}
_TASKS = {
    "check": "checking every site",
    "prepare": "getting the sites ready",
    "train": "training",
    "validate": "validating the last model",
    "test": "evaluating the final models on test patients",
    "local_only": "every site trains a model alone, to compare with",
}


_LONGEST_LINE = 1000
_SAME_MOMENT = 60.0
_NARROWEST_TABLE = 80
"""Columns of a terminal; in fewer, a table breaks words and times."""
_ABORTED = "FINISHED:ABORTED"


def render_job(job: JobStatus) -> RenderableType:
    """Return a job for a terminal."""
    head = Text(f"{job.name} {job.job_id}: ", style="bold")
    if job.ended is not None:
        head.append(job.ended.kind, style=_STYLES[job.ended.kind])
        head.append(f" ({job.status})")
    else:
        head.append(job.status)
    parts: list[RenderableType] = [
        head,
        *(Text(f"  {clean_text(line, _LONGEST_LINE)}") for line in _lines(job)),
    ]
    if job.progress is not None and job.progress.sites:
        parts.append(_site_table(job.progress))
    return Group(*parts)


def print_job(job: JobStatus) -> None:
    """Print a job to standard output: as tables on a terminal that is wide enough, as lines elsewhere."""
    console = Terminal()
    if console.is_terminal and console.width >= _NARROWEST_TABLE:
        console.print(render_job(job))
        return
    for line in describe_job(job):
        console.print(Text(line), soft_wrap=True)


def describe_job(job: JobStatus) -> list[str]:
    """Return plain text without tables: one line per site, with its full name."""
    ended = f"{job.ended.kind} ({job.status})" if job.ended else job.status
    lines = [f"{job.name} {job.job_id}: {ended}", *(f"  {line}" for line in _lines(job))]
    if job.progress is not None:
        lines += [
            f"  {_describe_state(name, site, job.progress.now)}"
            for name, site in sorted(job.progress.sites.items())
        ]
    return [clean_line(line, _LONGEST_LINE) for line in lines]


def _describe_state(name: str, site: SiteProgress, now: float) -> str:
    parts = [f"{name}: {_state(site, now)}", f"since {clock(site.since)}"]
    if _cases(site):
        parts.append(f"cases {_cases(site)}")
    parts.append(counted(site.rounds_used, "round"))
    line = ", ".join(parts)
    if site.problem is None:
        return line
    return f"{line}; last problem: {_problem(site.problem)} -> {_remedy(site.problem)}"


def _problem(problem: Problem) -> str:
    where = f"round {problem.round}" if problem.round else problem.task
    return f"{where}, {clock(problem.time)}: {problem.reason}"


def _remedy(problem: Problem) -> str:
    return remedy_for(problem.code, problem.task)


def _end_reason(reason: EndReason) -> str:
    code = f" ({reason.code.value})" if reason.code else ""
    return f"{reason}{code} -> {reason.remedy}"


def _lines(job: JobStatus) -> list[str]:
    lines = [] if job.ended is None else [_end_reason(reason) for reason in job.ended.reasons]
    if job.aborted is not None:
        lines.insert(0, f"aborted by {job.aborted.by}, {clock(job.aborted.time)}")
    elif job.status == _ABORTED:
        lines.insert(0, "aborted; by whom, only the server's audit.log says")
    if job.interruption is not None:
        lines += _interruption_lines(job.interruption)
    if job.resumes is not None:
        lines.append(f"continues job {job.resumes}")
    lines += [describe_second_start(site, one) for site, one in sorted(job.second_starts.items())]
    if job.progress is not None:
        lines += _progress_lines(job.progress)
    elif job.status == "RUNNING":
        lines.append("its processes are starting, or have just ended; ask again in a minute")
    return lines


def _interruption_lines(interruption: Interruption) -> list[str]:
    durable = interruption.durable_round
    kept = "no round was finished" if durable is None else f"round {durable} and all before it are kept"
    if interruption.continued_by == NOBODY:
        then = "it does not continue automatically"
    elif interruption.continued_by:
        then = f"job {interruption.continued_by} continues from there"
    else:
        then = "it continues automatically when enough sites are connected"
    return [f"interrupted: {interruption.reason}", f"{kept}; {then}"]


def _progress_lines(progress: JobProgress) -> list[str]:
    parts = []
    if progress.round:
        attempt = f", attempt {progress.attempt}" if progress.attempt > 1 else ""
        after = "after " if progress.rounds_are_done else ""
        parts.append(f"{after}round {progress.round} of {progress.rounds}{attempt}")
    if progress.task and not progress.ended:
        parts.append(_TASKS.get(progress.task, progress.task))
    expected = progress.seconds_left
    if expected is not None:
        parts.append(f"about {duration(expected)} left")
    lines = [", ".join(parts)] if parts else ["waiting for the first task"]
    if progress.awaited:
        until = "as long as they send heartbeats"
        if progress.until is not None and progress.until < (progress.deadline or math.inf) - _SAME_MOMENT:
            until = f"until {clock(progress.until)}, in {duration(max(progress.until - progress.now, 0))}"
        lines.append(f"waiting for {', '.join(progress.awaited)} {until}")
    if progress.deadline is not None and not progress.ended:
        left = duration(max(progress.deadline - progress.now, 0))
        lines.append(f"the job's deadline: {clock(progress.deadline)}, in {left}")
    if progress.checkpoint is not None:
        lines.append(
            f"last checkpoint: after round {progress.checkpoint.round}, {clock(progress.checkpoint.time)}"
        )
    lines += [f"resumed from job {one.job} after its round {one.after_round}" for one in progress.resumed]
    return lines


def _site_table(progress: JobProgress) -> Table:
    with_problems = any(site.problem is not None for site in progress.sites.values())
    titles = ("site", "state", "since", "cases", "rounds", *(["last problem"] if with_problems else []))
    table = folding_table(titles, padding=(0, 1))
    for name, site in sorted(progress.sites.items()):
        problem = Text()
        if site.problem is not None:
            problem.append(_problem(site.problem))
            problem.append(f"\n-> {_remedy(site.problem)}", style="bold")
        table.add_row(
            Text(clean_text(name, 80)), Text(_state(site, progress.now)), clock(site.since), _cases(site),
            str(site.rounds_used), *([problem] if with_problems else []),
        )  # fmt: skip
    return table


def _state(site: SiteProgress, now: float) -> str:
    said = str(site) or "nothing heard yet"
    if site.answer == "awaited":
        silent = now - site.heard if site.heard else 0.0
        return f"{said}, silent for {duration(silent)}" if silent > 60 else said
    return {
        "taken": "answered" if site.state in ("sent", "ready", "checked", "") else said,
        "refused": "its answer does not count",
        "none": "no answer",
        None: said,
    }[site.answer]


def _cases(site: SiteProgress) -> str:
    if site.used is None:
        return ""
    if site.left_out is None:
        return f"{site.used}, few left out"
    return f"{site.used} of {site.used + site.left_out}"


def duration(seconds: float) -> str:
    """Return, for example, `12 s`, `3 min` or `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def clock(seconds: float) -> str:
    """Return a Unix time in the reader's time zone, with the day where that is not today."""
    moment = datetime.fromtimestamp(seconds).astimezone()
    today = moment.date() == datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")
