import math

import numpy as np
import pytest
from learning.tiny import LEARNING, cached_case

from consilium.errors import ConfigurationError
from consilium.learning.network_state import initial_weights
from consilium.participant.site_data import SiteData
from consilium.tasks import get_task
from epsilon_parts.curve import draw
from epsilon_parts.federation import add_updates, train_federation
from epsilon_parts.grid import EPSILONS, QUICK, Way, list_ways
from epsilon_parts.hospitals import require_others
from epsilon_parts.norms import gradient_norms
from epsilon_parts.results import Run, append_run, noise_table, read_runs, table
from epsilon_parts.study import RUNS, Study

SETTINGS = LEARNING.model_copy(update={"network": "unet_small", "batch_size": 3, "local_steps": 1})
PRIVATE = Way("dp_sgd", "pretrained", "all", 8.0)


@pytest.fixture
def sites(tmp_path):
    random = np.random.default_rng(0)
    cases = []
    for index in range(6):
        label = np.kron(random.integers(0, 4, (4, 4, 4)), np.ones((4, 4, 4)))
        cases.append(cached_case(tmp_path, label, name=f"P{index}"))
    return {"a": cases[:3], "b": cases[3:]}


def train(sites, way):
    start = initial_weights(get_task("brain_tumor"), SETTINGS, 0)
    done = train_federation(way, sites, SETTINGS, start, rounds=2, clip=1.0)
    return start, done


def changed(start, weights):
    return {name for name in start if not np.array_equal(start[name], weights[name])}


@pytest.mark.long
def test_an_infinite_epsilon_repeats_and_a_finite_one_does_not(sites):
    without = [train(sites, Way("dp_sgd", "pretrained"))[1] for _ in range(2)]
    assert changed(without[0].weights, without[1].weights) == set()
    assert set(without[0].noise.values()) == {0}
    noisy = [train(sites, PRIVATE)[1] for _ in range(2)]
    assert changed(noisy[0].weights, noisy[1].weights)


@pytest.mark.long
def test_a_smaller_epsilon_has_more_noise_at_every_site(sites):
    noise = [train(sites, Way("dp_sgd", "pretrained", "all", one))[1].noise for one in (1.0, 8.0, 1000.0)]
    assert all(noise[0][site] > noise[1][site] > noise[2][site] > 0 for site in sites)


@pytest.mark.long
def test_few_weights_are_those_of_the_last_layer_and_plain_training_moves_more(sites):
    start, few = train(sites, Way("dp_sgd", "pretrained", "last_layers", 8.0))
    last = list(start)[-2:]
    assert changed(start, few.weights) == set(last)
    start, plain = train(sites, Way("fedavg", "pretrained"))
    assert changed(start, plain.weights) > set(last)


def test_the_model_moves_by_the_mean_of_the_sites_weighted_by_their_patients():
    weights = {"w": np.zeros(2, np.float32)}
    updates = {"a": {"w": np.float32([1, 0])}, "b": {"w": np.float32([0, 1])}}
    moved = add_updates(weights, updates, {"a": 6, "b": 4})
    assert moved["w"] == pytest.approx([0.6, 0.4])
    assert moved["w"].dtype == np.float32


@pytest.mark.long
def test_every_patient_of_the_other_hospital_has_a_norm_and_few_weights_a_smaller_one(sites):
    start = initial_weights(get_task("brain_tumor"), SETTINGS, 0)
    found = [
        gradient_norms(Way("dp_sgd", "scratch", trained), sites["a"], SETTINGS, start)
        for trained in ("all", "last_layers")
    ]
    assert [len(one) for one in found] == [3, 3]
    # The same patches: the few weights are some of all.
    assert all(0 < few < whole for few, whole in zip(found[1], found[0], strict=True))


def test_every_epsilon_is_run_with_both_starts_and_both_sets_of_weights():
    ways = list_ways()
    assert len(ways) == len(set(ways)) == 3 + 4 * len(EPSILONS)
    assert {one.method for one in ways[:3]} == {"untrained", "fedavg"}
    assert Way("dp_sgd", "scratch", "last_layers", math.inf) in ways


def test_a_model_is_not_pretrained_on_a_patient_of_the_federation(sites):
    data = {"a": SiteData(tuple(sites["a"]), (), ())}
    require_others(sites["b"], data)
    with pytest.raises(ConfigurationError, match="P1"):
        require_others([sites["a"][1]], data)


def run(way, seed=0, dice=0.5):
    return Run(way, seed, dice, {"wt": dice, "tc": dice, "et": dice}, {"a": 2.5}, 1.0)


def test_runs_are_read_as_they_were_written_and_a_line_that_was_cut_off_is_dropped(tmp_path):
    path = tmp_path / RUNS
    written = [run(PRIVATE), run(Way("dp_sgd", "scratch"))]
    assert read_runs(path) == []
    append_run(path, written[0])
    with path.open("a") as file:
        file.write('{"way": {"meth')
    assert read_runs(path) == written[:1]
    append_run(path, written[1])
    assert read_runs(path) == written


def test_a_run_that_is_there_is_not_made_again(tmp_path):
    way, study = Way("untrained", "pretrained"), Study(tmp_path, SETTINGS, QUICK, 1.0)
    append_run(tmp_path / RUNS, run(way))
    assert "| start, not trained further | 0.500 |" in study.run([way], [0])
    assert len(read_runs(tmp_path / RUNS)) == 1
    with pytest.raises(ConfigurationError, match="other settings"):
        Study(tmp_path, SETTINGS, QUICK, 0.5).run([way], [0])


def test_tables_have_means_with_the_range_over_seeds():
    ways = [PRIVATE, Way("dp_sgd", "pretrained"), Way("fedavg", "scratch")]
    runs = [run(way, seed, dice) for way in ways for seed, dice in ((0, 0.25), (1, 0.75))]
    rows = table(runs).splitlines()
    assert rows[3] == "| 8 | 0.500 (0.250 to 0.750) | | | |"
    assert rows[4].startswith("| infinite: no noise, no clipping | 0.500")
    assert rows[5] == "| federated averaging, not DP-SGD | | | 0.500 (0.250 to 0.750) | |"


def test_noise_is_compared_with_what_the_patients_of_a_step_can_contribute():
    rows = noise_table(
        [run(PRIVATE), run(Way("dp_sgd", "scratch"))], {"all": 10_000, "few": 100}, 2
    ).splitlines()
    assert rows[2:] == ["| 8 | 2.50 | 125 to 125 | 12 to 12 |"]


@pytest.mark.long
def test_the_figure_has_a_curve_of_each_start_that_was_run():
    picture = draw([run(PRIVATE), run(Way("untrained", "pretrained"))])
    assert "pretrained, all weights" in picture
    assert "pretrained model as it is" in picture
    assert "from scratch" not in picture
