"""Steps of a site's part in an attempt: each is answered once, in order, for the messages of one context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.messages import ContextMessage, SumContext

AnswerT = TypeVar("AnswerT")


class SessionSteps:
    """Answers each step once: the same message again has the same answer, for answers that were lost.

    Another message in its place is refused. A refusal changes nothing.

    Args:
        context: The attempt.
        once: Steps that are not even answered again for the same message, each with the reason.
    """

    def __init__(self, context: SumContext, once: Mapping[str, str]) -> None:
        self._context = context
        self._once = once
        self._lock = Lock()
        self._asked: dict[str, ContextMessage | None] = {}
        self._answers: dict[str, Any] = {}

    def answer(
        self,
        step: str,
        before: str | None,
        message: ContextMessage | None,
        compute: Callable[[], AnswerT],
    ) -> AnswerT:
        """Return the answer to a step.

        Args:
            step: Its name.
            before: The step that has to be done before; None for the first.
            message: What the server sent; None for nothing.
            compute: Computes the answer, and may refuse.

        Raises:
            SecAggRefusal: The message is of another attempt or a second one, or the step comes too early.
        """
        with self._lock:
            if message is not None and message.context != self._context:
                raise SecAggRefusal(f"{step}: the message is of another job, round, attempt or parameters")
            if step in self._answers:
                if step in self._once:
                    raise SecAggRefusal(self._once[step])
                if self._asked[step] != message:
                    raise SecAggRefusal(f"{step}: a second message, other than the first")
                given: AnswerT = self._answers[step]
                return given
            if before is not None and before not in self._answers:
                raise SecAggRefusal(f"{step}: it comes after {before}")
            answer = compute()
            self._asked[step] = message
            self._answers[step] = answer if step not in self._once else None
            return answer

    def given(self, step: str) -> Any:
        """Return what a step was answered with."""
        return self._answers[step]
