import numpy as np
import pytest

from consilium.aggregation.rules import AggregationSettings
from consilium.federation.updates.intake import Contribution, ScreenedAggregation
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

REFERENCE = {"a": np.zeros(2), "b": np.zeros((1, 2))}


@pytest.fixture
def begin(tmp_path):
    known = Screening(ScreeningSettings(), BrainTumorSettings(local_steps=4), rounds=5)

    def begin(round_index=0, reference=REFERENCE, **settings):
        folder = tmp_path / "updates"
        rule = AggregationSettings(**settings)
        return ScreenedAggregation({MODEL: reference}, round_index, rule, known, folder)

    return begin


def update(first, second):
    return {"a": np.full(2, float(first)), "b": np.full((1, 2), float(second))}


def sent(update, report):
    return Contribution({MODEL: update}, report)


def result(aggregation):
    aggregate = aggregation.result()
    return aggregate.sets[MODEL], aggregate.shares


def report(cases=1, steps=4):
    return SiteReport(role="trains", train_cases=cases, validation_cases=1, steps=steps)


def test_the_mean_is_weighted_by_training_cases(begin):
    mean = begin()
    mean.add("north", sent(update(1, 10), report(1)))
    mean.add("south", sent(update(5, -2), report(3)))
    change, shares = result(mean)
    assert np.allclose(change["a"], (1 * 1 + 3 * 5) / 4)
    assert np.allclose(change["b"], (1 * 10 + 3 * -2) / 4)
    assert shares == {"north": 0.25, "south": 0.75}


def test_the_rule_is_the_job_s(begin):
    median = begin(rule="median")
    for site, value in {"north": 1, "south": 2, "evil": -5}.items():
        median.add(site, sent(update(value, value), report(10 if site == "evil" else 1)))
    change, shares = result(median)
    assert np.allclose(change["a"], 1)
    assert shares == dict.fromkeys(("north", "south", "evil"), pytest.approx(1 / 3))


def test_the_norm_is_over_all_weights(begin):
    norm = begin().add("north", sent({"a": np.array([3, 0.0]), "b": np.array([[0, 4.0]])}, report()))
    assert norm == pytest.approx(5)


def changed(how):
    bad = update(7, 7)
    if how == "missing":
        del bad["b"]
    elif how == "unknown":
        bad["c"] = np.zeros(1)
    elif how == "renamed":
        bad["c"] = bad.pop("b")
    elif how == "shape":
        bad["b"] = np.zeros((2, 1))
    elif how in ("object", "int64", "complex128", "float32", ">f8"):
        bad["b"] = bad["b"].astype(how)
    elif how == "list":
        bad["b"] = bad["b"].tolist()
    else:
        bad["b"][0, 1] = float(how)
    return bad


@pytest.mark.parametrize(
    ("bad", "said", "reported"),
    [
        (changed("nan"), report(2), "b is not finite"),
        (changed("inf"), report(2), "b is not finite"),
        (changed("missing"), report(2), "missing weights: 1, unknown ones: 0"),
        (changed("unknown"), report(2), "missing weights: 0, unknown ones: 1"),
        (changed("renamed"), report(2), "missing weights: 1, unknown ones: 1"),
        (changed("shape"), report(2), r"b has shape \(2, 1\), not \(1, 2\)"),
        (changed("object"), report(2), "b holds object values, not float64"),
        (changed("int64"), report(2), "b holds int64 values"),
        (changed("float32"), report(2), "b holds float32 values, not float64"),
        (changed(">f8"), report(2), "b holds >f8 values, not float64"),
        (changed("complex128"), report(2), "b holds complex128 values"),
        (changed("list"), report(2), "b is no array"),
        (update(1e200, 0), report(2), "too large to add up"),
        (update(0, 0), report(2), "it changes nothing"),
        (update(1, 10), report(2), "the same as another site's of this round"),
        (update(7, 7), report(0), "0 training cases"),
        (update(7, 7), report(2, steps=400), "400 steps of training, and the job asks for 4"),
    ],
)
def test_what_is_rejected_leaves_no_trace(begin, bad, said, reported):
    mean = begin()
    mean.add("north", sent(update(1, 10), report(1)))
    with pytest.raises(RejectedUpdate, match=reported):
        mean.add("evil", sent(bad, said))
    mean.add("south", sent(update(5, -2), report(3)))
    change, shares = result(mean)
    assert np.allclose(change["a"], 4)
    assert np.allclose(change["b"], 1)
    assert shares == {"north": 0.25, "south": 0.75}


def test_an_outlier_is_rejected_when_all_have_come(begin):
    mean = begin()
    mean.add("evil", sent(update(-70, -70), report(5)))
    mean.add("north", sent(update(7, 6), report()))
    mean.add("south", sent(update(6, 7), report()))
    refused = mean.screen()
    assert refused == {"evil": "it is 10.7 times as long as the others', and 6 times is the limit"}
    change, shares = result(mean)
    assert np.allclose(change["a"], 6.5)
    assert shares == {"north": 0.5, "south": 0.5}


def test_a_replay_is_rejected_in_the_next_round(begin):
    first = begin(0)
    first.add("north", sent(update(1, 2), report()))
    with pytest.raises(RejectedUpdate, match="the same as its own of round 1"):
        begin(1).add("north", sent(update(1, 2), report()))


def test_a_rejected_site_may_send_a_good_update_but_only_one(begin):
    mean = begin()
    with pytest.raises(RejectedUpdate):
        mean.add("north", sent(changed("nan"), report()))
    mean.add("north", sent(update(1, 1), report()))
    with pytest.raises(RejectedUpdate, match="a second one in the same round"):
        mean.add("north", sent(update(2, 2), report()))
    assert np.allclose(result(mean)[0]["a"], 1)


def test_no_update_is_no_aggregate(begin):
    with pytest.raises(RejectedUpdate, match="no site sent an update"):
        begin().result()


def test_an_aggregate_that_overflows_is_rejected(begin):
    huge = np.finfo(np.float32).max
    median = begin(reference={"a": np.zeros(2, np.float32)}, rule="median")
    median.add("north", sent({"a": np.array([huge, 1], np.float32)}, report()))
    median.add("south", sent({"a": np.array([huge, 2], np.float32)}, report()))
    with pytest.raises(RejectedUpdate, match="not finite"):
        median.result()


@pytest.mark.parametrize("rule", ["mean", "median", "trimmed_mean", "clipped_mean"])
def test_the_order_of_arrival_does_not_change_a_single_bit(begin, rule):
    random = np.random.default_rng(0)
    updates = {f"site-{index}": random.standard_normal(50).astype(np.float32) for index in range(7)}
    results = []
    for sites in (sorted(updates), sorted(updates, reverse=True)):
        aggregation = begin(reference={"a": np.zeros(50, np.float32)}, rule=rule)
        for site in sites:
            aggregation.add(site, sent({"a": updates[site]}, report(cases=int(site[-1]) + 1)))
        results.append(result(aggregation)[0]["a"])
    assert np.array_equal(*results)


def test_a_round_leaves_nothing_on_the_disk(begin, tmp_path):
    mean = begin()
    mean.add("north", sent(update(1, 1), report()))
    assert len(list((tmp_path / "updates").iterdir())) == 1
    mean.close()
    assert not (tmp_path / "updates").exists()
