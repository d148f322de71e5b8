"""Tasks as a site reads them, and its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode, SiteRefusal
from consilium.federation.site.process_resources import measure_traffic
from consilium.federation.tasks import (
    CODE_HEADER,
    LEFT_OUT_HEADER,
    REASON_HEADER,
    REPORT_META,
    VERSIONS_META,
)
from consilium.federation.versions import component_versions, incompatibility
from consilium.learning.rounds import TrainingResult
from consilium.learning.weights import Weights
from consilium.records.federation import SiteReport
from consilium.tasks.segmentation.metrics import Scores

if TYPE_CHECKING:
    from consilium.participant.participant import Participant


def read_request(shareable: Shareable) -> FLModel:
    """Read a task.

    Raises:
        SiteRefusal: If the server's versions don't fit this site's. FLARE's own controllers send none.
    """
    model = FLModelUtils.from_shareable(shareable)
    versions = model.meta.get(VERSIONS_META)
    if versions is not None:
        reason = incompatibility(component_versions(), versions)
        if reason is not None:
            raise SiteRefusal(reason, code=RefusalCode.VERSIONS)
    return model


def refuse(return_code: str, refusal: SiteRefusal) -> Shareable:
    """Return the answer of a site that declines a task, with its reason.

    Args:
        return_code: FLARE's.
        refusal: Only what may leave the site is taken from it.
    """
    headers = {
        REASON_HEADER: refusal.public_reason,
        CODE_HEADER: refusal.code.value,
        LEFT_OUT_HEADER: refusal.left_out,
    }
    return make_reply(return_code, headers)


def report_on(participant: Participant, result: TrainingResult | None, seconds: float) -> SiteReport:
    """Return what a site says about its own part in a task.

    Args:
        participant: The site.
        result: Of its training; None where it trained nothing.
        seconds: What the whole task took.
    """
    data, traffic = participant.data, measure_traffic()
    return SiteReport(
        role=data.role,
        train_cases=len(data.train),
        validation_cases=data.evaluated,
        left_out=data.left_out,
        steps=result.steps if result else 0,
        loss=result.loss if result else None,
        train_seconds=result.seconds if result else 0.0,
        task_seconds=seconds,
        bytes_sent=traffic.sent,
        bytes_received=traffic.received,
        versions=component_versions(),
    )


def to_reply(params: Weights | None, scores: Scores, report: SiteReport, received: FLModel) -> Shareable:
    """Return the answer to a task.

    Args:
        params: The weight difference; None for none.
        scores: Of the weights that the site received.
        report: Beside them.
        received: The task.
    """
    cases = report.validation_cases
    reply = FLModel(
        params_type=ParamsType.DIFF if params is not None else None,
        params=dict(params) if params is not None else None,
        metrics={**scores, **({} if cases is None else {"validation_cases": float(cases)})},
        current_round=received.current_round,
        meta={REPORT_META: report.model_dump()},
    )
    return FLModelUtils.to_shareable(reply)
