"""Events of a job's controller for the other components of its process, with plain data.

The progress record and the metrics listen to the same events, so the controller knows neither.
"""

from __future__ import annotations

from typing import Any, Final

from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext

JOB_BEGUN: Final = "consilium_job_begun"
"""A training job has begun; data: `seconds` until it ends at the latest, infinite without a deadline."""

TASK_ASKED: Final = "consilium_task_asked"
"""Sites were asked for something; data: `task`, `sites`, `seconds` (until the task is closed at the latest;
infinite without a deadline)."""

TASK_CLOSING: Final = "consilium_task_closing"
"""There are enough answers, and the grace period for the others runs; data: `seconds`."""

TASK_CLOSED: Final = "consilium_task_closed"
"""The task is closed; data: `lost`, with the reason of each site that was lost before."""

ANSWER_TAKEN: Final = "consilium_answer_taken"
"""A site's answer counts; data: `site`, `report`, its report, `scores` of what it
received, and `round`, from 0. All of it has been checked."""

ANSWER_REFUSED: Final = "consilium_answer_refused"
"""A site declined or failed, or its answer does not count; data: `site`, `reason`, and `code`, an
`RefusalCode`, where there is one."""


def announce(component: FLComponent, event: str, **data: Any) -> None:
    """Fire an event with data, in a context of its own: answers come in threads.

    Args:
        component: The sender; a controller with an `engine`.
        event: One of this module.
        data: See the event.
    """
    with component.engine.new_context() as fl_ctx:
        component.fire_event_with_data(event, fl_ctx, FLContextKey.EVENT_DATA, data)


def event_data(fl_ctx: FLContext) -> dict[str, Any]:
    """Return an event's data; empty if it has none."""
    data = fl_ctx.get_prop(FLContextKey.EVENT_DATA)
    return data if isinstance(data, dict) else {}
