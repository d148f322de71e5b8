"""No value that a site can send gets past the bounded types, or breaks what reads the record."""

import json
import math

import pytest
from annotated_types import Ge, Gt, Le, Lt
from anything import ANYTHING
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from consilium.data.problem_code import known_codes
from consilium.records.bounds import MOST_CASES, OTHER_CODE, VERSIONED, Record, name_faults
from consilium.records.federation import FederationRecord, SiteReport
from consilium.records.progress import StateMessage
from consilium.records.readiness import SiteReadiness
from consilium.records.statistics import SiteAnswer, SiteHistogram
from consilium.tasks import get_task

HONEST = {
    SiteReport: {"role": "trains", "train_cases": 3, "validation_cases": 1},
    SiteReadiness: {"can": "train", "hardware": {"cores": 2, "memory_gib": 8.0, "free_disk_gib": 50.0}},
    SiteAnswer: {"min_count": 1},
    SiteHistogram: {"patients": 2, "bins": [1.0, 1.0]},
    StateMessage: {},
}
FIELDS = [(model, field) for model in HONEST for field in model.model_fields]


def numbers_in(content):
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers_in(value)
    elif isinstance(content, list):
        for value in content:
            yield from numbers_in(value)
    elif isinstance(content, int | float):
        yield content


def texts_in(content):
    if isinstance(content, dict):
        for name, value in content.items():
            yield name
            yield from texts_in(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts_in(value)
    elif isinstance(content, str):
        yield content


def record_models(base=Record):
    for model in base.__subclasses__():
        yield model
        yield from record_models(model)


def test_no_field_has_a_bound_that_its_type_overrules():
    """Of two lower bounds pydantic uses the type's, whatever the field says."""
    for model in record_models():
        for name, field in model.model_fields.items():
            bounds = {one for one in field.metadata if isinstance(one, Ge | Gt | Le | Lt)}
            assert len(bounds) == len({type(one) for one in bounds}), f"{model.__name__}.{name}"


def test_a_site_with_a_minimum_of_nobody_is_rejected():
    with pytest.raises(ValidationError):
        SiteAnswer(min_count=0)


@pytest.mark.parametrize("model", HONEST)
def test_an_honest_message_passes(model):
    assert model.model_validate(HONEST[model])


@settings(max_examples=examples(150))
@given(place=st.sampled_from(FIELDS), value=ANYTHING)
def test_whatever_stands_in_a_field_is_rejected_or_in_bounds(place, value):
    model, field = place
    try:
        message = model.model_validate({**HONEST[model], field: value})
    except ValidationError as error:
        faults = name_faults(error, model)
        message = None
    else:
        faults = ""
    assert faults.isprintable()
    if message is None:
        return
    content = message.model_dump_json()
    assert len(content) < 20_000
    assert model.model_validate_json(content) == message  # what is written down can be read again
    read = json.loads(content)
    assert all(math.isfinite(number) and abs(number) < 2**63 for number in numbers_in(read))
    assert all(text.isprintable() and len(text) <= 400 for text in texts_in(read))


@settings(max_examples=examples(50))
@given(model=st.sampled_from(list(HONEST)), said=ANYTHING)
def test_anything_at_all_instead_of_a_message_is_rejected(model, said):
    try:
        model.model_validate(said)
    except ValidationError as error:
        faults = name_faults(error, model)
    else:
        faults = ""
        assert model is StateMessage
        assert said == {}
    assert faults.isprintable()


@pytest.mark.parametrize("value", [10**15, MOST_CASES + 1, -1, 3.0, True, "3", float("nan"), [3]])
def test_a_number_of_cases_is_a_whole_number_of_a_hospital_s_size(value):
    with pytest.raises(ValidationError):
        SiteReport.model_validate({**HONEST[SiteReport], "train_cases": value})


@pytest.mark.parametrize("field", ["task_seconds", "train_seconds", "loss"])
@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e300, [1.0], "1"])
def test_a_time_and_a_loss_are_finite_numbers(field, value):
    with pytest.raises(ValidationError):
        SiteReport.model_validate({**HONEST[SiteReport], field: value})


def test_a_code_of_another_version_is_counted_under_other_and_its_name_kept_nowhere():
    said = {"truncated": 2, "of_the_future": 3, "\x1b[2J": 4, 7: 1}
    report = SiteReport.model_validate({**HONEST[SiteReport], "left_out": said})
    assert report.left_out == {"truncated": 2, OTHER_CODE: 8}


def test_a_number_that_is_withheld_hides_the_sum_that_it_is_in():
    report = SiteReport.model_validate({**HONEST[SiteReport], "left_out": {"a": 2, "b": None, "c": 3}})
    assert report.left_out == {OTHER_CODE: None}


@pytest.mark.parametrize(
    "counts", [{f"x{index}": 1 for index in range(1000)}, {"truncated": 10**15}, [1], "x"]
)
def test_codes_have_counts_and_are_not_endless(counts):
    with pytest.raises(ValidationError):
        SiteReport.model_validate({**HONEST[SiteReport], "left_out": counts})


def test_every_code_of_this_version_is_known():
    counts = {code.value: 1 for code in known_codes()}
    assert SiteReport.model_validate({**HONEST[SiteReport], "left_out": counts}).left_out == counts


@pytest.mark.parametrize(
    "versions", [{"torch": "2.8.0+cu128", "python": "3.13.0rc1"}, dict.fromkeys(VERSIONED, "1!2.0.post1")]
)
def test_versions_of_the_packages_that_count_are_kept(versions):
    assert SiteReport.model_validate({**HONEST[SiteReport], "versions": versions}).versions == versions


@pytest.mark.parametrize(
    "versions", [{"evil": "1"}, {"torch": "2.8\n"}, {"torch": "x" * 65}, {"torch": "\x1b[2J"}, {"torch": 2}]
)
def test_other_packages_and_texts_are_rejected(versions):
    with pytest.raises(ValidationError):
        SiteReport.model_validate({**HONEST[SiteReport], "versions": versions})


def test_more_can_t_be_done_than_there_is_to_do():
    with pytest.raises(ValidationError):
        StateMessage(done=2, total=1)


def test_a_record_loads_with_its_long_reasons_shortened():
    report = {"role": "trains", "train_cases": 3, "validation_cases": 1, "left_out": {"renamed_since": 2}}
    round_ = {"number": 1, "seconds": 2, "sites": {"north": {"outcome": "refused", "reason": "x" * 3000}}}
    content = {
        "job": "brain_tumor_fedavg",
        "task": "brain_tumor",
        "title": "Brain tumor segmentation",
        "metrics": get_task("brain_tumor").evaluation.metrics,
        "reason": "y" * 9000,
        "status": "failed",
        "rounds_planned": 2,
        "settings": {"aggregation": {"rule": "mean", "trim_share": None, "clip_ratio": None}},
        "preparation": {"north": {"outcome": "ready", "report": report}},
        "rounds": [round_],
    }
    record = FederationRecord.model_validate(content)
    assert len(record.rounds[0].sites["north"].reason) == 400
    assert len(record.reason) == 4000
    assert record.preparation["north"].report.left_out == {OTHER_CODE: 2}


def test_no_record_holds_a_number_that_json_can_t_hold():
    record = FederationRecord(
        job="x",
        task="brain_tumor",
        title="Brain tumor segmentation",
        metrics=get_task("brain_tumor").evaluation.metrics,
        rounds_planned=1,
        settings={},
    )
    for field in ("preparation_seconds", "initial_scores"):
        with pytest.raises(ValidationError):
            setattr(record, field, math.inf if field == "preparation_seconds" else {"a": {"dice": math.nan}})
