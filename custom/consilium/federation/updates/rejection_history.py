"""Rejections of updates: the reasons, and the exclusion of a site after several in a row."""

from __future__ import annotations

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext

from consilium.errors import ConsiliumError, RefusalCode
from consilium.federation.component_state import DurableState
from consilium.federation.message_names import REFUSAL_CODE_HEADER, REFUSAL_HEADER
from consilium.records.texts import clean_text


class RejectedUpdate(ConsiliumError):
    """A rejected update of a site.

    Args:
        reason: For the operator and the site.
        code: The kind of reason.
    """

    def __init__(self, reason: str, *, code: RefusalCode = RefusalCode.UPDATE) -> None:
        super().__init__(reason)
        self.code = code


class DeclinedQuestion(ConsiliumError):
    """An answer by which a site declines an algorithm's question; it is no fault of the site's.

    Args:
        reason: For the operator and the site.
        code: The kind of reason.
    """

    def __init__(self, reason: str, *, code: RefusalCode) -> None:
        super().__init__(reason)
        self.code = code


class Rejections:
    """Counts each site's rejected answers, and excludes a site after too many in a row.

    A site that itself declines a task, fails or is late is not counted: that is not a bad update.

    Args:
        limit: Rejected answers in a row after which a site is no longer asked to train; None: never.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._in_a_row: dict[str, int] = {}
        self._last: dict[str, tuple[str, RefusalCode]] = {}
        self._at_fault: dict[str, str] = {}

    def exclude(self, site: str, reason: str) -> bool:
        """Exclude a site for the rest of the job, whatever the limit; returns whether it was not before."""
        is_new = site not in self._at_fault
        self._at_fault.setdefault(site, clean_text(reason))
        return is_new

    def note(self, site: str, reason: str, code: RefusalCode = RefusalCode.UPDATE) -> None:
        """Count one rejected answer."""
        self._in_a_row[site] = self._in_a_row.get(site, 0) + 1
        self._last[site] = clean_text(reason), code

    def clear(self, site: str) -> None:
        """Reset the count of a site whose answer was used."""
        self._in_a_row.pop(site, None)
        self._last.pop(site, None)

    def attach_reason(self, fl_ctx: FLContext) -> None:
        """Add to a task that is about to be sent why its site's last answer was rejected.

        Args:
            fl_ctx: With the task's data and the context of the site that asked for it.
        """
        peer, task = fl_ctx.get_peer_context(), fl_ctx.get_prop(FLContextKey.TASK_DATA)
        if peer is None or task is None:
            return
        site = peer.get_identity_name()
        exclusion = self.exclusion(site)
        last = self._last.get(site) if exclusion is None else (exclusion, RefusalCode.EXCLUDED)
        if last is not None:
            task.set_header(REFUSAL_HEADER, last[0])
            task.set_header(REFUSAL_CODE_HEADER, last[1].value)

    def exclusion(self, site: str) -> str | None:
        """Return why a site is no longer asked to train; None if it is asked."""
        if site in self._at_fault:
            return f"excluded from training: {self._at_fault[site]}"
        if self._limit is None or self._in_a_row.get(site, 0) < self._limit:
            return None
        answers = "answer" if self._limit == 1 else "answers in a row"
        return (
            f"excluded from training after {self._limit} rejected {answers}, the last: {self._last[site][0]}"
        )

    @property
    def excluded(self) -> list[str]:
        """The sites that are no longer asked to train, by name."""
        known = self._in_a_row.keys() | self._at_fault.keys()
        return sorted(site for site in known if self.exclusion(site) is not None)

    def state(self) -> DurableState:
        """Return the counts, for a checkpoint."""
        last = {site: [reason, code.value] for site, (reason, code) in self._last.items()}
        return DurableState(
            {"in_a_row": dict(self._in_a_row), "last": last, "at_fault": dict(self._at_fault)}
        )

    def restore(self, state: DurableState) -> None:
        """Resume from a `state`."""
        self._in_a_row = {str(site): int(count) for site, count in state.values["in_a_row"].items()}
        self._last = {
            str(site): (str(reason), RefusalCode(code))
            for site, (reason, code) in state.values["last"].items()
        }
        at_fault = state.values.get("at_fault", {})  # none in a checkpoint of an earlier version
        self._at_fault = {str(site): str(reason) for site, reason in at_fault.items()}
