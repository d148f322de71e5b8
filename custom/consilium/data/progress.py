"""Progress of long-running steps."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as `progress(done, total, what)`; `what` names the step, never a patient."""
