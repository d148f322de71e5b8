"""What a site answers to a task, with the executor in this process."""

from learning.tiny import LEARNING
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import (
    CHECK,
    REASON_HEADER,
    REPORT_META,
    RUN_META,
    VERSIONS_META,
)
from consilium.federation.versions import component_versions
from consilium.learning.network_state import initial_weights
from consilium.records.federation import SiteReport
from consilium.records.readiness import SiteReadiness
from consilium.tasks import get_task

WEIGHTS = initial_weights(get_task("brain_tumor"), LEARNING, 0)
PATIENT = "Doe-Jane-1931"


def at_site(engine, settings):
    properties = {"consilium": settings.model_dump(mode="json", exclude_defaults=True)}
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)


def request(current_round=0, run=None, **versions):
    model = FLModel(
        params_type=ParamsType.FULL,
        params=dict(WEIGHTS),
        current_round=current_round,
        total_rounds=2,
        meta={VERSIONS_META: component_versions() | versions, RUN_META: run},
    )
    return FLModelUtils.to_shareable(model)


def execute(executor, engine, task, shareable=None, abort=None):
    return executor.execute(task, shareable or request(), engine.context, abort or Signal())


def answer_of(reply):
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    model = FLModelUtils.from_shareable(reply)
    return model, SiteReport.model_validate(model.meta[REPORT_META])


def check(executor, engine):
    """The answer to the task of a readiness check."""
    asked = FLModelUtils.to_shareable(FLModel(metrics={}))
    reply = execute(executor, engine, CHECK, asked)
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    return SiteReadiness.model_validate(FLModelUtils.from_shareable(reply).meta[REPORT_META])
