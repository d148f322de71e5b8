"""The default task, in a module of its own so that commands start without loading a task."""

from typing import Final

DEFAULT: Final = "brain_tumor"
