"""How a site tells the server's progress record what it is doing."""

from __future__ import annotations

import time

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.analytix_utils import send_analytic_dxo

from consilium.federation.tasks import SITE_STATE_EVENT

_SECONDS_BETWEEN_STATES = 1.0


class SiteState:
    """What a site said last; a new state is told at once, steps within it once a second.

    Args:
        component: Who tells it: the executor or another part of the site's job.
    """

    def __init__(self, component: FLComponent) -> None:
        self._component = component
        self._last = ("", 0.0)

    def tell(
        self, fl_ctx: FLContext, state: str, done: int = 0, total: int = 0, *, loss: float | None = None
    ) -> None:
        """Tell what the site is doing.

        Args:
            fl_ctx: A context of the job; it is not written to.
            state: In a word or two, never with a patient in it.
            done: Steps done.
            total: Steps to do; 0 where there are none to count.
            loss: Of the step.
        """
        now = time.monotonic()
        last_state, last_time = self._last
        if state == last_state and now - last_time < _SECONDS_BETWEEN_STATES:
            return
        self._last = (state, now)
        data = {"state": state, "done": done, "total": total, "loss": loss}
        send_analytic_dxo(
            self._component,
            DXO(DataKind.ANALYTIC, data=data),
            fl_ctx.get_engine().new_context(),
            event_type=SITE_STATE_EVENT,
        )
