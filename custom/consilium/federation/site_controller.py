"""Ask every site something and take the answers as they come: the base of this package's controllers."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from threading import Lock

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReturnCode, Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.workflows.model_controller import ModelController

from consilium.federation.tasks import REASON_HEADER, VERSIONS_META
from consilium.federation.versions import component_versions

_SECONDS_BETWEEN_LOOKS = 0.1


class SiteController(ModelController):  # type: ignore[misc]
    """A controller for which a site that refuses or fails is an answer like any other.

    FLARE's own controllers end the job for everybody when one site answers with an error.

    Args:
        persistor_id: Component that loads and saves the model; empty for a job without one.
    """

    def __init__(self, persistor_id: str = "") -> None:
        super().__init__(persistor_id=persistor_id, task_check_period=_SECONDS_BETWEEN_LOOKS)
        self._asking = Lock()  # answers come in threads of FLARE's
        self._open = False

    @abstractmethod
    def take(self, site: str, answer: FLModel) -> bool:
        """Take one site's answer; returns whether it counts."""

    @abstractmethod
    def note_refusal(self, site: str, reason: str) -> None:
        """Take note that a site's answer doesn't count, and why."""

    def ask(
        self,
        task: str,
        question: FLModel,
        sites: list[str],
        *,
        deadline_seconds: float = math.inf,
        grace_seconds: float = math.inf,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send a task to sites and wait for their answers; each goes to `take` as it comes.

        An answer that comes after that is dropped. A site that still works on it stops: FLARE's clients look
        every few seconds whether their task is still wanted.

        Args:
            task: The task's name.
            question: What the sites get.
            sites: Whom to ask.
            deadline_seconds: How long to wait for the last of them.
            grace_seconds: How long to wait for the others once there are enough.
            enough: Whether the answers so far would do.
        """
        if self.abort_signal.triggered:
            return
        question.meta = {**(question.meta or {}), VERSIONS_META: component_versions()}
        self._open = True
        self.send_model(task_name=task, data=question, targets=sites, callback=self._receive)
        end = time.monotonic() + deadline_seconds
        graced = False
        while self.get_num_standing_tasks() and not self.abort_signal.triggered:
            if not graced and grace_seconds < math.inf and enough():
                graced, end = True, min(end, time.monotonic() + grace_seconds)
            if time.monotonic() >= end:
                self.cancel_all_tasks()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        with self._asking:
            self._open = False

    def pause(self, seconds: float) -> None:
        """Wait, but no longer than the job runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.abort_signal.triggered:
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    def set_aside(self, site: str, reason: str) -> bool:
        """Leave a site's answer out, with a reason for the operator; returns False for `take` to return."""
        self.warning(f"{site}: {reason}")
        self.note_refusal(site, reason)
        return False

    def _receive(self, answer: FLModel) -> bool:
        site = str(answer.meta["client_name"])
        with self._asking:
            return self.take(site, answer) if self._open else self._drop(site)

    def _drop(self, site: str) -> bool:
        self.info(f"{site}: its answer came too late and is dropped")
        return False

    def _accept_train_result(
        self, client_name: str, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool = False
    ) -> bool:
        if is_unknown_task:
            return self._drop(client_name)
        return_code = result.get_return_code()
        if return_code == ReturnCode.OK:
            fl_ctx.set_prop(AppConstants.TRAINING_RESULT, result, private=True, sticky=False)
            return True
        with self._asking:
            if not self._open:
                return self._drop(client_name)
            return self.set_aside(client_name, str(result.get_header(REASON_HEADER) or return_code))
