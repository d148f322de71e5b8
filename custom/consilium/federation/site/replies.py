"""Reading of tasks at a site, and its replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from pydantic import ValidationError

from consilium.counts import count_patients, counted
from consilium.errors import RefusalCode, SiteRefusal, TrainingError
from consilium.federation.message_names import (
    ANSWER_META,
    CODE_HEADER,
    LEFT_OUT_HEADER,
    REASON_HEADER,
    REPORT_META,
    VERSIONS_META,
)
from consilium.federation.monitoring.published_metrics import measure_traffic
from consilium.federation.versions import component_versions, incompatibility
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.dialogue import LocalAnswer
from consilium.learning.rounds import TrainingResult
from consilium.learning.weights import Weights, WeightSets, join_sets, split_sets
from consilium.records.bounds import name_faults
from consilium.records.federation import SiteReport
from consilium.records.score_bounds import read_scores, round_scores
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.metrics import Scores

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


def read_sets(request: FLModel, algorithm: AlgorithmSettings) -> dict[str, Weights]:
    """Return the weight sets of a task; the model is always among them, empty where none came.

    Raises:
        SiteRefusal: If there are other sets than the job's algorithm declares.
    """
    try:
        return dict(split_sets(request.params or {}, algorithm.declaration.received))
    except ValueError as error:
        raise SiteRefusal(f"the task brings {error}", code=RefusalCode.DECLINED) from None


def check_outgoing(result: TrainingResult, algorithm: AlgorithmSettings) -> None:
    """Check that an algorithm sends only what it declares.

    Raises:
        TrainingError: If it doesn't.
    """
    declared = algorithm.declaration
    if result.sent.keys() != set(declared.sent) or result.numbers.keys() != declared.numbers.keys():
        raise TrainingError(
            f"algorithm {algorithm.name!r} sends sets {sorted(result.sent)} and numbers "
            f"{sorted(result.numbers)}, and declares {sorted(declared.sent)} and {sorted(declared.numbers)}"
        )
    _check_stays(result.sent, algorithm)


def check_sealed(sealed: WeightSets, sets: WeightSets, algorithm: AlgorithmSettings) -> WeightSets:
    """Return an update as it was sealed, if it still holds only what is declared.

    Args:
        sealed: As the algorithm sealed it.
        sets: The sets before that.
        algorithm: Says what stays.

    Raises:
        TrainingError: If a set was added or lost, or a weight that stays would leave.
    """
    if sealed.keys() != sets.keys():
        raise TrainingError(
            f"algorithm {algorithm.name!r} seals sets {sorted(sets)} as {sorted(sealed)}; they stay the same"
        )
    _check_stays(sealed, algorithm)
    return sealed


def check_answer(answer: LocalAnswer, question: str, algorithm: AlgorithmSettings) -> LocalAnswer:
    """Return an algorithm's answer to a question of its own, if it holds only what is declared.

    Args:
        answer: Of the algorithm.
        question: Which one.
        algorithm: Declares the sets and the model of the plain values.

    Raises:
        TrainingError: If it would send anything else. The message names no value.
    """
    declared = algorithm.declaration
    others = answer.sets.keys() - set(declared.sent)
    if others:
        raise TrainingError(
            f"algorithm {algorithm.name!r} answers {question!r} with sets {sorted(others)}, and declares "
            f"{sorted(declared.sent)}"
        )
    _check_stays(answer.sets, algorithm)
    model = declared.questions[question]
    unknown = answer.content.keys() - model.model_fields.keys()
    try:
        content = model.model_validate(dict(answer.content))
    except ValidationError as error:
        faults = name_faults(error, model)
    else:
        if not unknown:
            return LocalAnswer(content.model_dump(mode="json"), answer.sets)
        faults = counted(len(unknown), "unknown field")
    raise TrainingError(
        f"algorithm {algorithm.name!r} answers {question!r} with something else than it declares: {faults}"
    )


def check_scores(scores: Scores, evaluation: Evaluation, *, final: bool, cases: int | None) -> Scores:
    """Return a site's scores, rounded, if they are those of the task's metrics and in their ranges.

    Args:
        scores: As the task summarized them.
        evaluation: The task's.
        final: Whether they are of a final model.
        cases: How many cases they are of; None for none that may be known.

    Raises:
        TrainingError: If the task would send anything else.
    """
    try:
        read_scores(scores, evaluation, final=final, cases=cases)
    except ValueError as error:
        raise TrainingError(f"the task's scores are not those that it declares: {error}") from None
    return round_scores(scores, evaluation)


def _check_stays(sets: WeightSets, algorithm: AlgorithmSettings) -> None:
    kept = {name for weights in sets.values() for name in weights if algorithm.stays(name)}
    if kept:
        raise TrainingError(f"algorithm {algorithm.name!r} would send weights that stay: {sorted(kept)[:5]}")


def to_refusal(return_code: str, refusal: SiteRefusal) -> Shareable:
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
    """Return a site's report of its part in a task.

    Args:
        participant: The site.
        result: Of its training; None where it trained nothing.
        seconds: What the whole task took.
    """
    data, traffic = participant.data, measure_traffic()
    validated = data.validated if participant.validates else None
    return SiteReport(
        role=data.role,
        train_cases=len(data.train),
        validation_cases=validated,
        validation_patients=None if validated is None else count_patients(data.validation),
        test_cases=data.tested,
        test_patients=None if data.tested is None else count_patients(data.test),
        left_out=data.left_out,
        missing_targets=list(data.missing_targets),
        steps=result.steps if result else 0,
        loss=result.loss if result else None,
        train_seconds=result.seconds if result else 0.0,
        task_seconds=seconds,
        bytes_sent=traffic.sent,
        bytes_received=traffic.received,
        numbers=dict(result.numbers) if result else {},
        hospital_noise=participant.hospital_noise,
        versions=component_versions(),
    )


def hide_summed(report: SiteReport, learning: LearningSettings) -> SiteReport:
    """Return a report without what leaves a site in sums only: cases, losses, and what follows from them.

    Args:
        report: As it would be sent.
        learning: The job's learning settings.
    """
    hidden: dict[str, int | None] = {
        "train_cases": None, "validation_cases": None, "validation_patients": None, "loss": None,
    }  # fmt: skip
    if learning.local_steps is None:  # the steps follow from the number of cases
        hidden["steps"] = 0
    return report.model_copy(update=hidden)


def to_reply(params: Weights | None, scores: Scores, report: SiteReport, received: FLModel) -> Shareable:
    """Return the answer to a task.

    Args:
        params: The weight difference, with the algorithm's sets beside it; None for none.
        scores: Of the weights that the site received.
        report: Beside them.
        received: The task.
    """
    cases = {"validation_cases": report.validation_cases, "test_cases": report.test_cases}
    reply = FLModel(
        params_type=ParamsType.DIFF if params is not None else None,
        params=dict(params) if params is not None else None,
        metrics={**scores, **{name: float(count) for name, count in cases.items() if count is not None}},
        current_round=received.current_round,
        meta={REPORT_META: report.model_dump(mode="json")},
    )
    return FLModelUtils.to_shareable(reply)


def to_answer(answer: LocalAnswer, received: FLModel) -> Shareable:
    """Return the answer to a question of the algorithm's own.

    Args:
        answer: What is answered.
        received: The task.
    """
    reply = FLModel(
        params_type=ParamsType.DIFF if answer.sets else None,
        params=join_sets(answer.sets) or None,
        metrics={},
        current_round=received.current_round,
        meta={ANSWER_META: dict(answer.content)},
    )
    return FLModelUtils.to_shareable(reply)
