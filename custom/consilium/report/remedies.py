"""What the operator at the server can do about a site whose answer does not count."""

from __future__ import annotations

_ASK_THE_SITE = (
    "ask its IT department: `consilium status --site KIT` there shows the reason and names the log"
)

_COMES_BACK = (
    "it is taken in again when it is back; if it stays away, its IT department starts it (startup/start.sh)"
)
_ASKED_AGAIN = (
    "it is asked again in the next round; if it goes on, have the site look at its loss and its data"
)

_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        "versions do not fit",
        "install the federation's versions of consilium and nvflare at the site; `consilium check-site KIT` "
        "there compares them",
    ),
    (
        "dataset folder as a whole",
        "`consilium check-site KIT` at the site says what is wrong with `dataset` in its local/privacy.json",
    ),
    (
        "no usable labeled case",
        "`consilium check DATASET` at the site names the cases; it can take part again with labeled ones",
    ),
    (
        "would be left out",
        "`consilium check DATASET` at the site names the cases and what mends each; or its IT department "
        "raises max_left_out",
    ),
    (
        "too few patients a round",
        "a job with more local_steps, local_epochs or a larger batch_size shows the network more patients",
    ),
    (
        "min_training_patients",
        "the site has too few patients for its own min_training_patients; it is for the hospital to decide",
    ),
    ("update is refused", _ASKED_AGAIN),
    ("scores can't be used", _ASKED_AGAIN),
    (
        "can't be read",
        "the site runs another version of consilium; `consilium check-site KIT` there says which",
    ),
    ("connection was lost", _COMES_BACK),
    ("no sign of life", _COMES_BACK),
    (
        "had not answered",
        "it is asked again in the next round; if it is only slow, a longer quorum.deadline_minutes or "
        "grace_minutes of the job waits for it",
    ),
    ("aborted", "nothing: the task was called off"),
)
"""The first whose text is part of the reason holds; what says no more than that the log has it holds none."""


def remedy_for(reason: str) -> str:
    """Return what to do about a reason that a site or the controller gave.

    Args:
        reason: As it stands in the job's record.
    """
    return next((remedy for part, remedy in _REMEDIES if part in reason), _ASK_THE_SITE)
