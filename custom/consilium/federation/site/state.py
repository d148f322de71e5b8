"""Reports of a site's state to the server's progress record."""

from __future__ import annotations

import time

from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.apis.utils.analytix_utils import send_analytic_dxo

from consilium.federation.message_names import SITE_STATE_EVENT
from consilium.federation.site.journal import SiteJournal

_SHORTEST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0
_SHARE = 1 / 20


class StateReporter:
    """Reports a site's state: a new state at once, progress within it at increasing intervals.

    The interval is a twentieth of the state's duration, at least 1 s and at most 15 s: a short round is
    followed closely, and a long one doesn't fill the line with progress. The site's journal gets the same.

    Args:
        component: The sender: the executor or another part of the site's job.
        journal: The site's own record.
        hides_cases: Whether the server sees no number of cases, nor one that follows from it: in a job whose
            algorithm sums them.
    """

    def __init__(
        self, component: FLComponent, journal: SiteJournal | None = None, *, hides_cases: bool = False
    ) -> None:
        self._component = component
        self._journal = journal
        self._hides_cases = hides_cases
        self._state = ""
        self._began = self._sent = 0.0

    def report(
        self,
        fl_ctx: FLContext,
        state: str,
        done: int = 0,
        total: int = 0,
        *,
        loss: float | None = None,
        of_cases: bool = False,
    ) -> None:
        """Report the site's state.

        Args:
            fl_ctx: A context of the job; it is not written to.
            state: In a word or two, never with a patient in it.
            done: Steps done.
            total: Steps to do; 0 where there are none to count.
            loss: Of the step.
            of_cases: Whether the steps are the site's cases, or as many as follow from their number.
        """
        now = time.monotonic()
        if state != self._state:
            self._state, self._began = state, now
        elif now - self._sent < min(max((now - self._began) * _SHARE, _SHORTEST_PAUSE), _LONGEST_PAUSE):
            return
        self._sent = now
        if self._journal is not None:
            self._journal.note_state(state, done, total)
        if of_cases and self._hides_cases:
            done = total = 0
        data = {"state": state, "done": done, "total": total, "loss": loss}
        send_analytic_dxo(
            self._component,
            DXO(DataKind.ANALYTIC, data=data),
            fl_ctx.get_engine().new_context(),
            event_type=SITE_STATE_EVENT,
        )

    def report_cases(self, fl_ctx: FLContext, state: str, done: int, total: int, *, minimum: int) -> None:
        """Report the site's progress on its cases, with counts only if they may leave the site.

        The totals of two states differ by the few cases that were left out between them, so a minimum
        withholds all of them.

        Args:
            fl_ctx: A context of the job; it is not written to.
            state: In a word or two, never with a patient in it.
            done: Cases done.
            total: Cases to do.
            minimum: Counts of cases below this stay at the site.
        """
        if minimum > 1:
            done = total = 0
        self.report(fl_ctx, state, done, total, of_cases=True)
