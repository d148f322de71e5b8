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
from drift_parts.page import begin, markdown, write_page, write_results
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


@pytest.mark.parametrize(("cohort", "rounds"), [("strong", 8), ("strong", 24), ("sizes", 8)])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_all_runs_train_equally_much(name, cohort, rounds):
    run, effort = Run(cohort, 3, name), replace(EFFORT, rounds=rounds)
    settings = build_recipe(ALGORITHMS[name].job, run.changes(effort)).settings
    learning = settings.learning
    steps = [learning.steps_per_round(train) for train in WHOLE[cohort].train.values()]
    turns = len(steps) if ALGORITHMS[name].takes_turns else 1
    assert settings.rounds / turns * sum(steps) / rounds == pytest.approx(20 * len(steps), rel=0.25)
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


def test_two_cohorts_differ_by_scanner_tumors_and_style_and_not_by_size():
    strong, mild = (describe_cohort(cohort, WHOLE[cohort], 0).hospitals for cohort in ("strong", "mild"))
    assert [one.cases for one in strong] == [one.cases for one in mild] == [56, 32, 22, 18]
    assert {one.scanner for one in strong} == {one.scanner for one in DEMO_COHORT.hospitals}
    assert {one.scanner.tesla for one in mild} == {3.0}
    assert len({one.label_margin_mm for one in strong}) == 3
    assert {(one.label_margin_mm, one.tumor_mix, one.missing_et) for one in mild} == {
        (0.0, mild[0].tumor_mix, 0.1)
    }
    assert [one.cases for one in describe_cohort("mild", QUICK["mild"], 0).hospitals] == [7, 5]


def test_in_the_third_cohort_two_of_twelve_hospitals_have_most_patients():
    sizes = WHOLE["sizes"]
    train = sorted(sizes.train.values(), reverse=True)
    assert len(train) == 12
    assert sum(train[:2]) > 0.7 * sum(train)
    assert max(train[2:]) < 10
    hospitals = describe_cohort("sizes", sizes, 0).hospitals
    assert {one.scanner for one in hospitals} == {one.scanner for one in DEMO_COHORT.hospitals}
    assert {(one.label_margin_mm, one.missing_et) for one in hospitals} == {(0.0, 0.1)}
    for one in hospitals:
        assert one.cases == sizes.train[one.name] + 8


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
    blocks = compare_all(outcomes)
    assert {block: list(tables) for block, tables in blocks.items()} == {
        "strong": ["The strong cohort, seed 0", "The strong cohort, seeds 0, 1"],
        "mild": ["The mild cohort, seed 0"],
    }
    first, both = blocks["strong"].values()
    assert [row.title for row in first[2:]] == ["FedAvg", ALGORITHMS["ditto"].title]
    assert first[2].sites["north"] == pytest.approx(0.8)
    assert [row.title for row in both[2:]] == ["FedAvg"]
    assert both[2].sites["north"] == pytest.approx(0.65)


def test_another_network_has_a_block_with_models_of_its_own():
    runs = [Run("strong", 0, name) for name in ("fedavg", "fedavg_gpu", "fedbn")]
    assert [run.compares for run in runs] == [True, True, False]
    outcomes = dict(zip(runs, [compared(), compared(0.5, 0.4), outcome(0.5, 0.5)], strict=True))
    blocks = compare_all(outcomes)
    first, second = blocks["strong"], blocks["strong-segresnet"]
    assert list(second) == ["The strong cohort, segresnet, seed 0"]
    assert [row.title for row in first["The strong cohort, seed 0"]] == ["local-only", "pooled", "FedAvg"]
    alone, pooled, shared, local = second["The strong cohort, segresnet, seed 0"]
    assert [alone.title, pooled.title] == ["local-only", "pooled"]
    assert [shared.title, local.title] == [ALGORITHMS[name].title for name in ("fedavg_gpu", "fedbn")]
    assert pooled.better.value == pytest.approx(0.35)
    assert local.better.value == pytest.approx(0.05)
    assert local.gains["south"].value == pytest.approx(-0.15)


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
def test_a_page_gets_tables_into_its_blocks_and_plots_beside_it(tmp_path):
    end = "<!-- end of what benchmarks/drift.py writes -->"
    strong, mild = (f"{begin(block)}\nold\n{end}" for block in ("strong", "mild"))
    page = tmp_path / "drift.md"
    page.write_text(f"# Before\n{strong}\nbetween\n{mild}\nAfter\n")
    outcomes = {Run("mild", 0, "fedavg"): compared(), Run("sizes", 0, "fedavg"): compared()}
    for _ in range(2):
        assert write_page(page, outcomes) == ["mild"]
    tables = markdown(compare_all(outcomes), outcomes)["mild"]
    assert "0.800" in tables
    filled = f"{begin('mild')}\n\n{tables}\n{end}"
    assert page.read_text() == f"# Before\n{strong}\nbetween\n{filled}\nAfter\n"
    drawn = ElementTree.parse(tmp_path / "drift-mild.svg").getroot()
    assert "FedAvg" in "".join(drawn.itertext())
    assert not (tmp_path / "drift-sizes.svg").exists()
    other = tmp_path / "other.md"
    for text, missing in (
        ("# None\n", "has none of the lines"),
        (begin("mild"), "has no line"),
        (f"{begin('mild')}\n{strong}\n", "has no line"),
    ):
        other.write_text(text)
        with pytest.raises(ConfigurationError, match=missing):
            write_page(other, outcomes)
        assert other.read_text() == text


def test_gains_of_many_hospitals_are_summed_up():
    names = [f"h{place}" for place in range(7)]
    alone, models = (scores(**dict.fromkeys(names, value)) for value in (0.6, 0.7))
    done = compared().model_copy(
        update={"patients": models | scores(h3=0.5), "local": alone, "pooled": models}
    )
    outcomes = {Run("sizes", 0, "fedavg"): done}
    tables = markdown(compare_all(outcomes), outcomes)["sizes"]
    row = next(line for line in reversed(tables.splitlines()) if line.startswith("| FedAvg "))
    assert row.startswith("| FedAvg | -0.100 to +0.100 | **h3** | 2 |")


def test_a_run_that_is_done_is_not_run_again(tmp_path):
    runner = Runner(tmp_path, EFFORT, None)
    run = Run("mild", 0, "fedavg")
    runner.outcome_file(run).parent.mkdir()
    compared().save(runner.outcome_file(run))
    assert runner.run(run) == compared()


def test_hospitals_remember_no_other_run_and_share_prepared_patients(tmp_path, monkeypatch):
    folders = {name: tmp_path / name for name in QUICK["mild"].train}
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
