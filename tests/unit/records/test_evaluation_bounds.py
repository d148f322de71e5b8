"""What the server takes of a site's answer about a model."""

from contextlib import suppress

import pytest
from anything import ANYTHING
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from report.grading import GRADING, cell

from consilium.records.evaluation import SiteEvaluation
from consilium.records.evaluation_bounds import check_evaluation
from consilium.tasks import get_task

EVALUATION = get_task("brain_tumor").evaluation


def measure(bins, patients=10):
    middle = (bins.edges[0] + bins.edges[1]) / 2
    return {
        "mean": middle,
        "interval": [bins.edges[0], bins.edges[1]],
        "edges": list(bins.edges),
        "counts": [patients, *[0] * (len(bins.edges) - 2)],
    }


def answer():
    group = {
        "patients": 10,
        "cases": 11,
        "measures": {name: measure(bins) for name, bins in EVALUATION.bins.items()},
    }
    means = {name: {"mean": one["mean"]} for name, one in group["measures"].items()}
    part = {"patients": 6, "cases": 6, "measures": means}
    return {
        "min_count": 5,
        "set": "test",
        "whole": group,
        "subgroups": {"age band": {"<60": part}},
    }


def check(content):
    check_evaluation(SiteEvaluation.model_validate(content), EVALUATION)


def test_an_answer_in_bounds_is_taken():
    check(answer())


def test_means_of_few_patients_come_without_counts_and_intervals():
    content = answer()
    content["subgroups"] = {}
    for one in content["whole"]["measures"].values():
        one.update(edges=[], counts=[], interval=None)
    check(content)
    content["whole"]["measures"]["dice"]["mean"] = 1.5
    with pytest.raises(ValueError, match="out of its range"):
        check(content)


def change(path, value):
    content = answer()
    target = content
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return content


DICE = ("whole", "measures", "dice")
OF_SUBGROUP = ("subgroups", "age band", "<60")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*DICE, "mean"), 0.9),
        ((*DICE, "mean"), 1.5),
        ((*DICE, "interval"), [0.5, 0.6]),
        ((*DICE, "interval"), [-3.0, 0.5]),
        ((*DICE, "counts"), [11, *[0] * 99]),
        ((*DICE, "edges"), [0.0, 0.123456, 1.0]),
        ((*DICE, "edges"), []),
        (("whole", "patients"), 4),
        (("whole", "cases"), 5),
        (("whole", "measures", "secret"), {"mean": 1.0}),
        (("whole", "measures"), {}),
        (("whole", "counts"), {"true_1_said_2": 3}),
        ((*OF_SUBGROUP, "patients"), 3),
        ((*OF_SUBGROUP, "measures", "dice", "mean"), 1.9),
    ],
)
def test_an_answer_that_can_t_be_so_is_rejected(path, value):
    with pytest.raises(ValueError, match=r"patients|measure|bins|mean|count|interval|of fewer"):
        check(change(path, value))


@pytest.mark.parametrize("few", [1, 4])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*DICE, "counts"), lambda few: [10 - few, few, *[0] * 98]),
        (("min_count",), lambda few: 10 + few),
        (("min_count",), lambda few: 6 + few),  # too few for an interval
        (OF_SUBGROUP, lambda few: {"patients": few, "cases": 6}),
        (OF_SUBGROUP, lambda few: {"patients": 10 - few, "cases": 11 - few}),
        ((*OF_SUBGROUP, "measures", "dice", "interval"), lambda few: [0.0, 0.01 * few]),
        ((*OF_SUBGROUP, "measures", "dice"), lambda few: measure(EVALUATION.bins["dice"], 5 + few)),
    ],
)
def test_no_number_is_of_fewer_patients_than_the_site_s_minimum(path, value, few):
    """Neither by itself nor less another one: nobody's score would be in the record and its report."""
    new, content = value(few), answer()
    if path == OF_SUBGROUP:
        content["subgroups"]["age band"]["<60"].update(new)
    else:
        content = change(path, new)
    with pytest.raises(ValueError, match="patients"):
        check(content)


def test_a_gain_has_no_interval_of_few_patients():
    own = SiteEvaluation.model_validate(answer())
    gain = {"dice": {"mean": 0.0, "low": -0.1, "high": 0.1}}
    check_evaluation(with_gains(gains=gain), EVALUATION, own)
    few = answer()
    few["whole"]["patients"] = 8
    for one in few["whole"]["measures"].values():
        one.update(edges=[], counts=[], interval=None)
    few["subgroups"] = {}
    check_evaluation(with_gains(**few), EVALUATION, SiteEvaluation.model_validate(few))
    with pytest.raises(ValueError, match="gain has an interval of too few patients"):
        check_evaluation(with_gains(**few, gains=gain), EVALUATION, SiteEvaluation.model_validate(few))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("subgroups",), {"=HYPERLINK(1)": {}}),
        (("subgroups",), {"age band": {"Doe, Jane 1931-01-01 in full": {}}}),
        (("subgroups",), {f"a{n}": {} for n in range(7)}),
        (("patient",), "Doe-Jane"),
        ((*DICE, "mean"), float("nan")),
        ((*DICE, "mean"), "0.5"),
        ((*DICE, "values"), [0.1, 0.2]),
        ((*DICE, "counts"), [0] * 1001),
    ],
)
def test_a_message_of_another_form_is_rejected(path, value):
    with pytest.raises(ValidationError):
        check(change(path, value))


@settings(max_examples=examples(30))
@given(
    path=st.sampled_from([("whole",), ("subgroups",), ("withheld",), DICE, (*DICE, "edges"), ("left_out",)]),
    value=ANYTHING,
)
def test_whatever_a_site_sends_is_taken_or_refused(path, value):
    with suppress(ValueError):  # a ValidationError is one
        check(change(path, value))


def with_gains(mean=0.0, name="dice", **changes):
    return SiteEvaluation.model_validate({**answer(), "gains": {name: {"mean": mean}}, **changes})


def test_a_gain_is_the_difference_of_two_answers_about_the_same_set():
    own = SiteEvaluation.model_validate(answer())
    check_evaluation(with_gains(), EVALUATION, own)
    check_evaluation(with_gains(1e-6), EVALUATION, own)  # both means are rounded
    for wrong in (with_gains(1e-5), with_gains(-0.1), with_gains(set="validation"), with_gains(name="hd95")):
        with pytest.raises(ValueError, match="gain"):
            check_evaluation(wrong, EVALUATION, own)
    with pytest.raises(ValueError, match="gains over a model"):
        check_evaluation(with_gains(), EVALUATION)


def graded(**changes):
    """Six patients, four of whom were graded as they are."""
    counts = {cell(0, 0): 2, cell(1, 1): 1, cell(2, 2): 1, cell(0, 1): 2}
    means = GRADING.derive({name: float(count) for name, count in counts.items()})
    measures = {name: {"mean": round(mean, 6)} for name, mean in means.items()}
    group = {"patients": 6, "cases": 6, "measures": measures, "counts": counts}
    return SiteEvaluation.model_validate({"min_count": 5, "set": "test", "whole": {**group, **changes}})


def test_what_is_computed_from_counts_follows_from_them():
    check_evaluation(graded(), GRADING)
    measures = graded().model_dump()["whole"]["measures"]
    for name in ("kappa", "accuracy"):
        lie = {**measures, name: {"mean": measures[name]["mean"] + 0.01}}
        with pytest.raises(ValueError, match="does not follow"):
            check_evaluation(graded(measures=lie), GRADING)
    for counts in ({cell(0, 0): 6}, {cell(0, 0): 7}, {cell(0, 0): 5}, {}, {"secret": 6}):
        with pytest.raises(ValueError, match="count"):
            check_evaluation(graded(counts=counts), GRADING)
