"""Form of every site's answer, checked before its content.

FLARE hands a controller whatever a site sent; what it can't read itself it drops, and the site counts as one
that has not answered. Here the server rejects such an answer, with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from nvflare.apis.fl_constant import FLMetaKey, ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from pydantic import TypeAdapter, ValidationError

from consilium.counts import counted
from consilium.errors import ConsiliumError, RefusalCode
from consilium.federation.message_names import (
    ANSWER_META,
    CODE_HEADER,
    LEFT_OUT_HEADER,
    REASON_HEADER,
    REPORT_META,
)
from consilium.records.bounds import CodeCounts
from consilium.records.texts import clean_text
from consilium.tasks.metrics import MOST_METRICS

MOST_TENSORS: Final = 10_000
"""Of an update; the largest network has some hundred."""

MOST_SCORES: Final = MOST_METRICS + 1
"""Scores of all metrics that a task may have, and the number of cases; see `TaskAnswers`."""

_LONGEST_NAME = 256
_SAID: Final = frozenset((REPORT_META, ANSWER_META))
_NUMBERS = "biuf"

_COUNTS: TypeAdapter[dict[str, int | None]] = TypeAdapter(CodeCounts)

_RETURN_CODES = frozenset(
    code for name, code in vars(ReturnCode).items() if name.isupper() and isinstance(code, str)
)


class RejectedAnswer(ConsiliumError):
    """An unusable answer of a site.

    Args:
        reason: For the operator and the site.
        code: What kind of reason it is.
    """

    def __init__(self, reason: str, *, code: RefusalCode = RefusalCode.ANSWER) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Absence:
    """Reason why a site has no part in a task.

    Attributes:
        reason: In a sentence.
        code: What kind of reason it is.
        left_out: Cases that the site left out, by code, as far as it says.
    """

    reason: str
    code: RefusalCode = RefusalCode.ANSWER
    left_out: Mapping[str, int | None] = field(default_factory=dict)


def read_answer(result: Any, site: str) -> FLModel:
    """Read an answer, and leave out all that no answer has.

    Args:
        result: What the site sent.
        site: The site, as FLARE has authenticated it. What the answer says about that is left out.

    Returns:
        An answer with `params` (None, or a weight difference: NumPy arrays by name), `metrics` (values by
        name), `current_round` (None, or a whole number) and, in `meta`, the site's report, or its answer to
        a question of the algorithm's own, as it came.

    Raises:
        RejectedAnswer: If it has another form.
    """
    try:
        answer = FLModelUtils.from_shareable(result)
    except Exception as error:  # noqa: BLE001 - the FLARE boundary: a site sends what it likes
        raise RejectedAnswer(f"its answer can't be read ({type(error).__name__})") from None
    if not isinstance(answer.meta, dict) or not _SAID.intersection(answer.meta):
        raise RejectedAnswer("its answer can't be read: it has no report")
    return FLModel(
        params_type=None if answer.params is None else ParamsType.DIFF,
        params=_check_params(answer),
        metrics=_check_metrics(answer.metrics),
        current_round=_check_round(answer.current_round),
        meta={**{key: answer.meta[key] for key in _SAID & answer.meta.keys()}, FLMetaKey.SITE_NAME: site},
    )


def read_refusal(result: Any) -> tuple[str, Absence] | None:
    """Return why a site has no answer, with a return code of FLARE's; None if it has one.

    A code of a site of another version may be unknown here; then it is `RefusalCode.DECLINED`.

    Raises:
        RejectedAnswer: If what it sent is neither an answer nor a refusal.
    """
    if not isinstance(result, Shareable):
        raise RejectedAnswer("its answer is no message of FLARE's")
    try:
        return_code, reason = result.get_return_code(), result.get_header(REASON_HEADER)
        code, left_out = result.get_header(CODE_HEADER), result.get_header(LEFT_OUT_HEADER)
    except ValueError:
        raise RejectedAnswer("its answer can't be read: it has no headers") from None
    if not isinstance(return_code, str) or return_code not in _RETURN_CODES:
        raise RejectedAnswer("its answer has a return code that FLARE doesn't know")
    if return_code == ReturnCode.OK:
        return None
    reason = (clean_text(reason) if isinstance(reason, str) else "") or return_code
    return return_code, Absence(reason, _read_code(code), _read_counts(left_out))


def _read_code(code: Any) -> RefusalCode:
    try:
        return RefusalCode(code) if isinstance(code, str) else RefusalCode.DECLINED
    except ValueError:
        return RefusalCode.DECLINED


def _read_counts(counts: Any) -> Mapping[str, int | None]:
    try:
        return _COUNTS.validate_python(counts or {})
    except ValidationError:
        return {}  # the reason is all the same one


def _check_params(answer: FLModel) -> dict[str, Any] | None:
    params = answer.params
    if params is None:
        return None
    if not isinstance(params, dict) or not params:
        raise RejectedAnswer("its update is not arrays by name")
    if answer.params_type != ParamsType.DIFF:
        raise RejectedAnswer("it sent weights, and not the difference that training made")
    if len(params) > MOST_TENSORS:
        raise RejectedAnswer(
            f"its update has {counted(len(params), 'array')}, and at most {MOST_TENSORS} are allowed"
        )
    for name, value in params.items():
        if not isinstance(name, str) or len(name) > _LONGEST_NAME:
            raise RejectedAnswer("its update is not arrays by name")
        if type(value) is not np.ndarray or value.dtype.kind not in _NUMBERS:
            raise RejectedAnswer("its update has something else than arrays of numbers")
    return params


def _check_metrics(metrics: Any) -> dict[str, Any]:
    if metrics is None:
        return {}
    if not isinstance(metrics, dict):
        raise RejectedAnswer("its scores are not numbers by name")
    if len(metrics) > MOST_SCORES:
        raise RejectedAnswer(
            f"it sent {counted(len(metrics), 'score')}, and at most {MOST_SCORES} are allowed"
        )
    if not all(isinstance(name, str) for name in metrics):
        raise RejectedAnswer("its scores are not numbers by name")
    return dict(metrics)


def _check_round(index: Any) -> int | None:
    if index is None or type(index) is int:
        return index
    raise RejectedAnswer("the round that its answer is of is no number")
