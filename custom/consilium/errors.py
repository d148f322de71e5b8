"""The errors that Consilium raises on purpose.

Everything derives from `ConsiliumError`, so that a caller can tell "you can mend this" from a bug. Messages
say what failed, the value seen, what is allowed, and the next command to type. A message may name a path or a
patient: it is for the person at the hospital's own machine. What may leave the site is
    `SiteRefusal.public_reason` and
nothing else.
"""

from collections.abc import Sequence


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


class SiteRefusal(ConsiliumError):
    """This site declines a task.

    Args:
        public_reason: One sentence for the operator at the server. It leaves the hospital, so it holds counts
            and codes only: never a patient's identifier, a path or a file name.
        details: Lines for the site's own log, which may name patients; they are part of the message only.
    """

    def __init__(self, public_reason: str, *, details: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join([public_reason, *details]))
        self.public_reason = public_reason
