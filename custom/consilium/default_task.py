"""The task of a command or a job that names none; it stands apart so that commands start without any task."""

from typing import Final

DEFAULT: Final = "brain_tumor"
