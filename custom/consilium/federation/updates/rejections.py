"""Updates that the server does not use: why, and what follows for a site that sends them again and again."""

from __future__ import annotations

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext

from consilium.errors import ConsiliumError, RefusalCode
from consilium.federation.algorithms.state import AlgorithmState
from consilium.federation.tasks import REFUSAL_HEADER
from consilium.records.texts import clean_text


class RejectedUpdate(ConsiliumError):
    """A site's update can't be used.

    Args:
        reason: For the operator and the site.
        code: What kind of reason it is.
    """

    def __init__(self, reason: str, *, code: RefusalCode = RefusalCode.UPDATE) -> None:
        super().__init__(reason)
        self.code = code


class Rejections:
    """Keeps count of the answers that the server refused, and excludes a site after too many in a row.

    A site that declines a task itself, fails or is late is not counted: that is no bad update.

    Args:
        limit: Refused answers in a row after which a site is not asked to train any more; None: never.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._in_a_row: dict[str, int] = {}
        self._last: dict[str, str] = {}

    def note(self, site: str, reason: str) -> None:
        """Count one refused answer."""
        self._in_a_row[site] = self._in_a_row.get(site, 0) + 1
        self._last[site] = clean_text(reason)

    def clear(self, site: str) -> None:
        """Take note that a site's answer was used."""
        self._in_a_row.pop(site, None)
        self._last.pop(site, None)

    def tell(self, fl_ctx: FLContext) -> None:
        """Write into a task that is about to be sent why its site's last answer was refused.

        Args:
            fl_ctx: With the task's data and the context of the site that asked for it.
        """
        peer, task = fl_ctx.get_peer_context(), fl_ctx.get_prop(FLContextKey.TASK_DATA)
        if peer is None or task is None:
            return
        site = peer.get_identity_name()
        reason = self.exclusion(site) or self._last.get(site)
        if reason is not None:
            task.set_header(REFUSAL_HEADER, reason)

    def exclusion(self, site: str) -> str | None:
        """Return why a site is not asked to train any more; None if it is."""
        if self._limit is None or self._in_a_row.get(site, 0) < self._limit:
            return None
        answers = "answer" if self._limit == 1 else "answers in a row"
        return f"excluded from training after {self._limit} refused {answers}, the last: {self._last[site]}"

    @property
    def excluded(self) -> list[str]:
        """The sites that are not asked to train any more, by name."""
        return sorted(site for site in self._in_a_row if self.exclusion(site) is not None)

    def state(self) -> AlgorithmState:
        """Return what has to outlive the process."""
        return AlgorithmState({"in_a_row": dict(self._in_a_row), "last": dict(self._last)})

    def restore(self, state: AlgorithmState) -> None:
        """Go on from a `state`."""
        self._in_a_row = {str(site): int(count) for site, count in state.values["in_a_row"].items()}
        self._last = {str(site): str(reason) for site, reason in state.values["last"].items()}
