import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from consilium.errors import ConfigurationError, ConsiliumError
from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.training import TrainingRecipe
from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT
from drift_parts.cohorts import QUICK, WHOLE, describe_cohort
from drift_parts.comparison import compare, compare_all, mean_difference, rounds_to, worst_site_difference
from drift_parts.outcome import Outcome
from drift_parts.page import BEGIN, END, markdown, write_page, write_results
from drift_parts.plan import ALGORITHMS, LEFT_OUT, Effort, Run, plan_runs
from drift_parts.runs import Runner

EFFORT = Effort(WHOLE, rounds=8, steps=20)


def scores(**means):
    """Twelve patients of each hospital, spread by 0.05 about its mean."""
    spread = np.linspace(-0.05, 0.05, 12)
    return {
        site: {str(place): mean + one for place, one in enumerate(spread)} for site, mean in means.items()
    }


def outcome(north=0.8, south=0.6, **more):
    patients = scores(north=north, south=south)
    rounds = [0.3, 0.6, 0.7]
    return Outcome(
        patients=patients, rounds=rounds, bytes_a_round=4e6, steps=320, cpu_seconds=60, seconds=9, **more
    )


def compared(north=0.8, south=0.6):
    alone, pooled = scores(north=0.7, south=0.65), scores(north=0.8, south=0.8)
    return outcome(north, south, local=alone, pooled=pooled, pooled_validation=0.65)


def test_every_training_job_of_the_catalog_is_run_or_left_out_with_a_reason():
    jobs = {
        name
        for name, entry in CATALOG.items()
        if issubclass(entry.recipe, TrainingRecipe) and name.startswith("brain_tumor")
    }
    assert {one.job for one in ALGORITHMS.values()} | LEFT_OUT.keys() == jobs
    assert all(LEFT_OUT.values())


@pytest.mark.parametrize("rounds", [8, 24])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_all_runs_train_equally_much(name, rounds):
    run, effort = Run("strong", 3, name), replace(EFFORT, rounds=rounds)
    settings = build_recipe(ALGORITHMS[name].job, run.changes(effort)).settings
    learning = settings.learning
    steps = [learning.steps_per_round(train) for train in WHOLE.train.values()]
    turns = len(steps) if ALGORITHMS[name].takes_turns else 1
    assert abs(settings.rounds / turns * sum(steps) / rounds - 80) <= 20
    assert (learning.seed, learning.batch_size) == (3, 1)
    reference = ALGORITHMS[ALGORITHMS[name].reference]
    changes = {key: value for key, value in run.changes(effort).items() if not key.startswith("algorithm.")}
    other = build_recipe(reference.job, changes | dict(reference.changes)).settings.learning
    assert learning.model_dump() == other.model_dump()


def test_runs_come_in_the_order_in_which_they_tell_most():
    runs = plan_runs(["strong", "mild"], [0, 1], ["ditto", "fedavg"], ["birch"])
    assert [run.name for run in runs[:5]] == [
        "strong-0-fedavg", "strong-0-ditto", "mild-0-fedavg", "mild-0-ditto", "strong-1-fedavg",
    ]  # fmt: skip
    assert [run.name for run in runs[8:]] == [
        f"{cohort}-{seed}-fedavg-without-birch" for seed in (0, 1) for cohort in ("strong", "mild")
    ]
    assert [run.name for run in runs if run.compares] == [
        f"{cohort}-{seed}-fedavg" for seed in (0, 1) for cohort in ("strong", "mild")
    ]


def test_the_cohorts_differ_by_scanner_tumors_and_style_and_not_by_size():
    strong, mild = (describe_cohort(cohort, WHOLE, 0).hospitals for cohort in ("strong", "mild"))
    assert [one.cases for one in strong] == [one.cases for one in mild] == [56, 32, 22, 18]
    assert {one.scanner for one in strong} == {one.scanner for one in DEMO_COHORT.hospitals}
    assert {one.scanner.tesla for one in mild} == {3.0}
    assert len({one.label_margin_mm for one in strong}) == 3
    assert {(one.label_margin_mm, one.tumor_mix, one.missing_et) for one in mild} == {
        (0.0, mild[0].tumor_mix, 0.1)
    }
    assert [one.cases for one in describe_cohort("mild", QUICK, 0).hospitals] == [7, 5]


def test_a_paired_difference_is_clear_although_patients_differ_more():
    better = scores(north=0.82, south=0.62)
    difference = mean_difference([(better, scores(north=0.8, south=0.6))])
    assert difference.is_clear
    assert difference.value == pytest.approx(0.02)
    assert not mean_difference([(better, scores(north=0.9, south=0.54))]).is_clear
    assert mean_difference([({"a": {"1": 0.5}}, {"a": {"1": 0.4}})]).low is None


def test_patients_of_two_seeds_are_different_patients():
    once = [(scores(north=0.82), scores(north=0.8, south=0.6))]
    assert mean_difference(once * 2).value == pytest.approx(mean_difference(once).value)
    wide, narrow = (
        mean_difference([(scores(north=0.8), {"north": dict.fromkeys(map(str, range(12)), 0.8)})] * seeds)
        for seeds in (1, 4)
    )
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_the_worst_hospitals_are_compared_even_if_they_are_two():
    gained = worst_site_difference([(scores(north=0.7, south=0.75), scores(north=0.9, south=0.5))])
    assert gained.value == pytest.approx(0.2)
    assert gained.low < 0.2 < gained.high
    assert gained.low > 0.1


def test_rounds_to_a_score():
    assert rounds_to([0.1, 0.5, 0.4], 0.5) == 2
    assert rounds_to([0.1, 0.5, 0.4], 0.6) is None


def test_a_row_has_gains_over_local_only_models_and_the_reference_of_its_seeds():
    outcomes = {
        Run("strong", 0, "fedavg"): compared(),
        Run("strong", 0, "ditto"): outcome(0.81, 0.66),
        Run("strong", 1, "ditto"): outcome(0.9, 0.9),
        Run("mild", 0, "fedavg"): outcome(0.1, 0.1),
    }
    alone, pooled, fedavg, ditto = compare(outcomes, "strong")
    assert (alone.title, pooled.title) == ("local-only", "pooled")
    assert pooled.better.value == pytest.approx(0.1)
    assert (fedavg.better, fedavg.rounds) == (None, (2,))
    assert fedavg.worst == ("south", pytest.approx(0.6))
    assert fedavg.gains["south"].value == pytest.approx(-0.05)
    assert ditto.better.value == pytest.approx(0.035), "only the seed that both have"
    assert ditto.better_at_worst.value == pytest.approx(0.06)
    assert ditto.sites["north"] == pytest.approx(0.855)


@pytest.mark.long
def test_rows_of_a_table_are_of_the_same_patients():
    outcomes = {
        Run("strong", 0, "fedavg"): compared(),
        Run("strong", 1, "fedavg"): compared(0.5, 0.4),
        Run("strong", 0, "ditto"): outcome(0.81, 0.66),
        Run("mild", 0, "fedavg"): compared(),
    }
    tables = compare_all(outcomes)
    assert list(tables) == [
        "The strong cohort, seed 0", "The strong cohort, seeds 0, 1", "The mild cohort, seed 0"
    ]  # fmt: skip
    first, both, _ = tables.values()
    assert [row.title for row in first[2:]] == ["FedAvg", ALGORITHMS["ditto"].title]
    assert first[2].sites["north"] == pytest.approx(0.8)
    assert [row.title for row in both[2:]] == ["FedAvg"]
    assert both[2].sites["north"] == pytest.approx(0.65)


def test_another_network_has_a_table_without_the_models_of_the_first():
    outcomes = {
        Run("strong", 0, "fedavg"): compared(),
        Run("strong", 0, "fedavg_gpu"): outcome(0.5, 0.4),
        Run("strong", 0, "fedbn"): outcome(0.5, 0.5),
    }
    tables = compare_all(outcomes)
    assert list(tables) == ["The strong cohort, seed 0", "The strong cohort, segresnet, seed 0"]
    first, second = tables.values()
    assert [row.title for row in first] == ["local-only", "pooled", "FedAvg"]
    assert [row.title for row in second] == [ALGORITHMS[name].title for name in ("fedavg_gpu", "fedbn")]
    assert second[1].better.value == pytest.approx(0.05)
    assert not second[1].gains
    assert not second[1].rounds


@pytest.mark.long
def test_tables_mark_what_the_run_can_tell(tmp_path):
    outcomes = {
        Run("strong", 0, "fedavg"): compared(),
        Run("strong", 0, "ditto"): outcome(0.85, 0.66),
        Run("strong", 0, "fedprox"): outcome(0.85, 0.55),
        Run("strong", 0, "fedavg", "north"): outcome(0.5, 0.6),
    }
    text = write_results(tmp_path, outcomes)
    assert (tmp_path / "result.md").read_text() == text
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "**+0.055" in next(line for line in text.splitlines() if line.startswith("| Ditto"))
    assert "+0.000 (-" in next(line for line in text.splitlines() if line.startswith("| FedProx"))
    assert rows["strong"] == "| strong | 0 | north | 0.500 | 0.800 |"
    assert "mild" not in text


@pytest.mark.long
def test_a_page_gets_tables_between_its_marks_and_the_plot_beside_it(tmp_path):
    page = tmp_path / "drift.md"
    page.write_text(f"# Before\n{BEGIN}\nold\n{END}\nAfter\n")
    outcomes = {Run("mild", 0, "fedavg"): compared()}
    for _ in range(2):
        write_page(page, outcomes)
    tables = markdown({"The mild cohort, seed 0": compare(outcomes, "mild")}, outcomes)
    assert page.read_text() == f"# Before\n{BEGIN}\n\n{tables}\n{END}\nAfter\n"
    drawn = ElementTree.parse(page.with_suffix(".svg")).getroot()
    assert "FedAvg" in "".join(drawn.itertext())
    (tmp_path / "other.md").write_text("# None\n")
    with pytest.raises(ConfigurationError, match="has no lines"):
        write_page(tmp_path / "other.md", outcomes)


def test_a_run_that_is_done_is_not_run_again(tmp_path):
    runner = Runner(tmp_path, EFFORT, None)
    run = Run("mild", 0, "fedavg")
    runner.outcome_file(run).parent.mkdir()
    compared().save(runner.outcome_file(run))
    assert runner.run(run) == compared()


def test_hospitals_remember_no_other_run_and_share_prepared_patients(tmp_path, monkeypatch):
    folders = {name: tmp_path / name for name in QUICK.train}
    for folder in folders.values():
        folder.mkdir()
    seen = []

    class Stopped:
        def __init__(self, job, sites, folder, **more):
            seen.append(sites)

        def run(self):
            raise ConsiliumError("stopped")

    monkeypatch.setattr(
        "drift_parts.cohorts.make_cohort", lambda *given, **more: SimpleNamespace(hospitals=folders)
    )
    monkeypatch.setattr("drift_parts.runs.Study", Stopped)
    runner = Runner(tmp_path / "out", Effort(QUICK, rounds=2, steps=2), None)
    for run in (Run("mild", 0, "fedavg"), Run("mild", 0, "ditto"), Run("mild", 0, "fedavg", "aster")):
        with pytest.raises(ConsiliumError, match="stopped"):
            runner.run(run)
    assert len({site.state_dir for sites in seen for site in sites.values()}) == 6
    assert len({site.cache_dir for sites in seen for site in sites.values()}) == 2
