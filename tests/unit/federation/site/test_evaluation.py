"""What a site answers about a model: numbers over enough patients, and nothing else."""

import json
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from learning.tiny import LEARNING
from nvflare.apis.fl_constant import ReturnCode
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import RefusalCode
from consilium.federation.message_names import CODE_HEADER, EVALUATE, LOCAL_ONLY, REASON_HEADER, REPORT_META
from consilium.federation.site.evaluation import summarize_site
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.standalone import Standalone, save_standalone
from consilium.participant.evaluation_data import EvaluationData
from consilium.participant.evaluation_log import EvaluationLog
from consilium.participant.local_only import PairedScores
from consilium.participant.register_files import open_register
from consilium.records.evaluation import SiteEvaluation
from consilium.records.evaluation_bounds import check_evaluation
from consilium.records.gain import measure_gain
from consilium.tasks import get_task
from consilium.tasks.segmentation.evaluation import SegmentationEvaluation
from consilium.tasks.segmentation.regions import Region

from .answers import WEIGHTS, at_site, execute
from .compared_jobs import MINIMUM, PATIENTS, remove_validated

EVALUATION = get_task("brain_tumor").evaluation


LOCAL = {name: value + np.float32(0.01) for name, value in WEIGHTS.items()}
"""The hospital's own model, another one than `WEIGHTS`."""


def question(weights=None, index=0):
    params = dict(WEIGHTS if weights is None else weights)
    model = FLModel(params_type=ParamsType.FULL, params=params, current_round=index, total_rounds=2)
    return FLModelUtils.to_shareable(model)


@pytest.fixture
def ask(engine, hospital):
    """Ask a new process of the site's about a model."""

    def ask(weights=None, *, min_patients=1, executor=None, **settings):
        at_site(engine, hospital.model_copy(update=settings))
        executor = executor or SiteExecutor(LEARNING.model_dump(mode="json"), min_patients=min_patients)
        return execute(executor, engine, EVALUATE, question(weights))

    return ask


def read(reply):
    assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
    model = FLModelUtils.from_shareable(reply)
    assert not model.params
    assert not model.metrics
    return SiteEvaluation.model_validate(model.meta[REPORT_META])


def refusal(reply):
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    return RefusalCode(reply.get_header(CODE_HEADER)), reply.get_header(REASON_HEADER)


def test_an_answer_is_one_that_the_server_takes_and_names_nobody(ask):
    reply = ask()
    answer = read(reply)
    check_evaluation(answer, EVALUATION)
    assert answer.whole.patients == 6
    assert answer.min_count == MINIMUM
    assert set(answer.whole.measures) == {one.name for one in EVALUATION.measures}
    content = json.dumps(answer.model_dump(mode="json"))
    assert not [one for one in PATIENTS if one in content]
    for one in answer.whole.measures.values():
        assert all(count == 0 or count >= MINIMUM for count in one.counts)


def test_the_larger_minimum_counts(ask):
    assert read(ask(min_patients=5)).min_count == 5
    code, reason = refusal(ask(min_patients=7))
    assert code is RefusalCode.FEW_PATIENTS
    assert "6" not in reason


def test_two_answers_about_nearly_the_same_patients_are_not_given(ask, hospital):
    before = read(ask()).whole.patients
    remove_validated(hospital)
    reply = ask()
    after = read(reply).whole.patients if reply.get_return_code() == ReturnCode.OK else 0
    assert before - after in (0, *range(MINIMUM, 7))


def test_models_are_counted_over_jobs(ask):
    read(ask(max_evaluated_models=1))
    read(ask(max_evaluated_models=1))
    other = {name: value + np.float32(1e-6) for name, value in WEIGHTS.items()}
    code, _ = refusal(ask(other, max_evaluated_models=1))
    assert code is RefusalCode.MANY_MODELS


@pytest.mark.long
def test_an_answer_states_the_models_before_it(ask, hospital):
    for number in range(2):
        EvaluationLog(hospital, f"training {number}").admit_trained({"x": np.full(1, number, np.float32)})
    answer = read(ask(role="evaluates"))
    assert (answer.set, answer.earlier_models) == ("test", 2)
    answer = read(ask())
    assert (answer.set, answer.earlier_models) == ("validation", 0)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("fault", ["nan", "shape", "missing", "unknown", "none"])
def test_a_model_that_is_none_is_declined_without_a_patient_in_the_reason(ask, fault):
    name = next(iter(WEIGHTS))
    weights = {key: value.copy() for key, value in WEIGHTS.items()}
    if fault == "nan":
        weights[name].flat[0] = np.nan
    elif fault == "shape":
        weights[name] = weights[name][:1]
    elif fault == "missing":
        del weights[name]
    elif fault == "unknown":
        weights["patient"] = np.zeros(3, np.float32)
    else:
        weights = {"x": np.zeros(1, np.float32)}
    code, reason = refusal(ask(weights))
    assert code is RefusalCode.DECLINED
    assert not [one for one in PATIENTS if one in reason]


@pytest.mark.long
def test_patients_are_prepared_once(ask, hospital):
    executor = SiteExecutor(LEARNING.model_dump(mode="json"))
    first = read(ask(executor=executor))
    remove_validated(hospital)
    assert read(ask(executor=executor)).whole == first.whole


@pytest.fixture
def own(hospital, tmp_path):
    """Write a model of the hospital's own; returns its file."""

    def own(*, split=None, learning=LEARNING, kind="local-only"):
        with open_register(hospital) as register:
            known = register.fingerprint
        trained = Standalone(kind=kind, sites=("north",), split=split or known)
        path = tmp_path / "secret-folder/Doe-Jane.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_standalone(path, LOCAL, learning, trained, rounds=3, job="alone")
        return path

    return own


@pytest.fixture
def ask_both(engine, hospital):
    """Ask one process about the hospital's own model and then about another one."""

    def ask_both(**settings):
        at_site(engine, hospital.model_copy(update=settings))
        executor = SiteExecutor(LEARNING.model_dump(mode="json"), min_patients=1)
        first = FLModelUtils.to_shareable(FLModel(metrics={}, current_round=0, total_rounds=2))
        return execute(executor, engine, LOCAL_ONLY, first), execute(
            executor, engine, EVALUATE, question(index=1)
        )

    return ask_both


def test_the_site_s_own_model_is_measured_and_others_are_compared_with_it(ask_both, own, ask):
    file = own()
    replies = ask_both(local_only_model=file)
    local, other = map(read, replies)
    assert local.gains == {}
    assert other.gains.keys() == {*EVALUATION.metrics.gained}
    for name, gain in other.gains.items():
        better = EVALUATION.metrics[name].gain(
            other.whole.measures[name].mean, local.whole.measures[name].mean
        )
        assert gain.mean == pytest.approx(better, abs=1e-5)
    check_evaluation(local, EVALUATION)
    check_evaluation(other, EVALUATION, local)
    assert local.whole != other.whole
    assert read(ask(LOCAL)).whole == local.whole  # it is that model
    text = json.dumps([one.model_dump(mode="json") for one in (local, other)])
    assert not [one for one in ("secret-folder", "Doe-Jane", *PATIENTS) if one in text]


def floats(value):
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from floats(one)


def test_no_number_leaves_with_the_last_bits_of_a_mean_over_few_patients(ask_both, own):
    for reply in ask_both(local_only_model=own()):
        answer = read(reply).model_dump(mode="json", exclude={"seconds"})
        assert [one for one in floats(answer) if one != round(one, 6)] == []


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("fault", ["none", "missing", "split", "pooled", "network", "pickle"])
def test_a_model_of_its_own_that_can_t_be_compared_is_declined_without_its_place(
    ask_both, own, fault, hospital
):
    file = own(
        split="0" * 32 if fault == "split" else None,
        learning=LEARNING.model_copy(update={"spacing_mm": (2.0, 2.0, 2.0)})
        if fault == "network"
        else LEARNING,
    )
    if fault == "missing":
        file.unlink()
    elif fault == "pickle":
        file.write_bytes(b"\x80\x04cposix\nsystem\n.")
    elif fault == "pooled":
        save_standalone(file, LOCAL, LEARNING, Standalone(kind="pooled", sites=("a", "b")), rounds=1, job="x")
    first, second = ask_both(local_only_model=None if fault == "none" else file)
    code, reason = refusal(first)
    assert code is RefusalCode.LOCAL_MODEL
    assert not [one for one in ("secret-folder", "Doe-Jane", "0" * 32, *PATIENTS) if one in reason]
    assert read(second).gains == {}  # the others are answered about all the same


@pytest.mark.long
def test_its_own_model_counts_as_a_look_at_the_patients(ask_both, own):
    first, second = ask_both(local_only_model=own(), max_evaluated_models=1)
    assert first.get_return_code() == ReturnCode.OK
    assert refusal(second)[0] is RefusalCode.MANY_MODELS


@pytest.mark.long
def test_a_training_s_question_of_the_same_name_is_not_this_one(engine, hospital, own):
    """In a training, the site trains its local-only model; no file is read."""
    at_site(engine, hospital.model_copy(update={"local_only_model": own(), "local_only": False}))
    executor = SiteExecutor(LEARNING.model_copy(update={"local_steps": 6}).model_dump(mode="json"))
    assert refusal(execute(executor, engine, LOCAL_ONLY, question()))[0] is RefusalCode.NO_LOCAL_ONLY


def test_an_interval_leaves_of_four_more_patients_than_the_minimum(ask, hospital):
    before = read(ask(min_training_patients=2, min_count=2))
    assert all(one.interval is not None for one in before.whole.measures.values())
    assert all(one.interval is None for one in read(ask()).whole.measures.values())


@pytest.mark.long
def test_so_few_patients_as_a_training_needs_send_means_alone(ask):
    answer = read(ask(min_count=7))
    assert answer.min_count == MINIMUM
    for one in answer.whole.measures.values():
        assert (one.edges, one.counts, one.interval) == ([], [], None)
    assert answer.subgroups == {}
    check_evaluation(answer, EVALUATION)


def summarize(evaluation, owners, seed, subgroup=()):
    """What a site answers whose cases of these patients have random measures."""
    cases = [SimpleNamespace(id=f"{place}", patient=owner) for place, owner in enumerate(owners)]
    subgroups = {"scanner": {"A": frozenset(one.id for one in cases if one.patient in subgroup)}}
    data = EvaluationData(tuple(cases), MINIMUM, subgroups=subgroups if subgroup else {})
    draw = Random(seed)
    rows = [
        {name: draw.uniform(one.edges[0], one.edges[-1]) for name, one in evaluation.bins.items()}
        for _ in cases
    ]
    rows = [{**row, **evaluation.metrics.means(row)} for row in rows]
    return summarize_site(evaluation, data, rows), cases, rows


ONE_REGION = SegmentationEvaluation([Region("lesion", "Lesion", frozenset({1}))], penalty_mm=374)


@pytest.mark.parametrize("evaluation", [EVALUATION, ONE_REGION], ids=["three regions", "one region"])
def test_patients_with_several_examinations_count_once_in_means_and_gains(evaluation):
    owners = "AAABCDEFGH"
    (local, cases, before), (answer, _, after) = (summarize(evaluation, owners, seed) for seed in (1, 2))
    pairs = [
        PairedScores(case.id, case.patient, *both) for case, *both in zip(cases, before, after, strict=True)
    ]
    answer.gains = measure_gain(pairs, evaluation, min_count=MINIMUM).gains
    assert answer.gains["dice"].low is not None
    check_evaluation(answer, evaluation, local)


def test_nothing_about_few_follows_from_a_subgroup_and_the_whole_site():
    answer, *_ = summarize(EVALUATION, "ABCDEFGHIJ", 1, subgroup="ABCDEFG")
    check_evaluation(answer, EVALUATION)
    part = answer.subgroups["scanner"]["A"]
    assert part.measures.keys() == answer.whole.measures.keys()
    for name, one in part.measures.items():
        assert (one.edges, one.counts) == ([], [])
        assert one.interval[0] <= one.mean <= one.interval[1]
        assert sum(answer.whole.measures[name].counts) == 10
    smaller, *_ = summarize(EVALUATION, "ABCDEFGHIJ", 1, subgroup="ABCDEF")
    assert all(one.interval is None for one in smaller.subgroups["scanner"]["A"].measures.values())


def test_bounds_leave_with_the_digits_that_are_shown():
    answer, *_ = summarize(EVALUATION, "ABCDEFGHIJ", 1)
    low, high = answer.whole.measures["dice"].interval
    assert (low, high) == (round(low, 3), round(high, 3))
