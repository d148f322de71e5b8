from report.grading import GRADING, cell

from consilium.tasks import get_task
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.measures import cells_of, derived_measures, measures_of, tables_of
from consilium.tasks.metrics import Metric, MetricSet
from consilium.tasks.segmentation.measurement.definitions import case_metrics, region_measures
from consilium.tasks.segmentation.regions import Region

REGIONS = get_task("brain_tumor").targets


def test_by_default_cases_are_measured_by_the_metrics_that_they_have():
    metrics = get_task("brain_tumor").evaluation.metrics
    found = measures_of(metrics)
    assert [one.name for one in found] == [one.name for one in metrics.metrics]
    assert {one.better for one in found if one.title == "HD95"} == {"lower"}
    assert found[0].definition == metrics.definitions["Dice"]


def test_counts_are_tables_and_what_follows_from_them_is_of_all_cases():
    assert measures_of(GRADING.metrics) == ()
    assert [one.name for one in derived_measures(GRADING.metrics)] == ["kappa", "accuracy"]
    assert tables_of(GRADING.metrics) == ("confusion",)
    scores = {cell(1, 2): 1.0, cell(0, 0): 0.0}
    assert cells_of(GRADING.metrics, scores) == {"confusion": cell(1, 2)}


def test_of_a_single_target_the_mean_is_left_out():
    part = Metric(name="dice_lesion", title="Dice", target="lesion")
    mean = Metric(name="dice", title="Dice", mean_of=("dice_lesion",))
    metrics = MetricSet(metrics=(mean, part), key="dice", gained=("dice",), targets={"lesion": "Lesion"})
    assert [one.name for one in measures_of(metrics)] == ["dice_lesion"]


def test_a_score_is_completed_before_it_is_a_measurement():
    class Halves(Evaluation):
        metrics = MetricSet(
            metrics=(
                Metric(name="both", title="Half", mean_of=("left", "right")),
                Metric(name="left", title="Half"),
                Metric(name="right", title="Half", final_only=True),
            ),
            key="left",
            gained=("left",),
        )

        def reference(self, case):
            raise NotImplementedError

        def score(self, prediction, case, *, final):
            return {"left": 0.25, **({"right": 0.75} if final else {})}

    evaluation = Halves()
    measured = evaluation.measure(None, None)
    assert measured == {"both": 0.5, "left": 0.25, "right": 0.75}
    assert {one.name for one in evaluation.measures} == measured.keys()


def test_regions_have_every_metric_and_a_mean_of_those_that_say_what_is_good():
    found = region_measures(REGIONS, penalty_mm=374, lesions=True)
    per_region = [one for one in found if one.target]
    assert len(per_region) == len(REGIONS) * len(case_metrics(374))
    means = {one.name for one in found if one.target is None}
    assert means == {one.name for one in case_metrics(374) if one.better in ("higher", "lower")}
    assert len({one.name for one in found}) == len(found)


def test_a_problem_without_a_definition_of_a_lesion_has_no_lesion_wise_metric():
    found = region_measures([Region("lesion", "Lesion", frozenset({1}))], penalty_mm=374, lesions=False)
    assert not [one.name for one in found if one.name.startswith("lesion_")]
    assert all(one.target == "lesion" for one in found)
