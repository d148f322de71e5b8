"""An algorithm with control variates: a class on each side, a line in each registry."""

import numpy as np
import pytest
from learning.tiny import CPU, LEARNING, TinyTask, cached_case
from toy_scaffold import CHANGE, CONTROL, LocalScaffold, scaffold

from consilium.federation.algorithms import server_algorithm
from consilium.federation.algorithms.base import AlgorithmJob, RoundStart
from consilium.federation.site.replies import check_outgoing
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.learning.algorithms import local_algorithm, parse_algorithm
from consilium.learning.network_state import initial_weights
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.weights import MODEL, difference
from consilium.records.federation import SiteReport

TASK = TinyTask()
SETTINGS = LEARNING.model_copy(update={"local_steps": 4, "learning_rate": 0.05})
ROUNDS = 2


@pytest.fixture
def sites(tmp_path):
    """Two hospitals of one patient each, whose images have different scales."""
    random = np.random.default_rng(0)
    cases = {}
    for name, scale in (("north", 1.0), ("south", 3.0)):
        label = random.integers(0, 4, (20, 20, 20))
        image = scale * np.eye(4)[label].transpose(3, 0, 1, 2)
        cases[name] = [cached_case(tmp_path / name, label, image)]
    return cases


def federate(sites, folder, name, *, restart=False):
    """Two rounds by the halves of an algorithm alone; returns models, server and each site's last answer."""
    settings = parse_algorithm({"name": name})
    job = AlgorithmJob(SETTINGS, ROUNDS, {}, Screening(ScreeningSettings(), SETTINGS, ROUNDS))
    weights = initial_weights(TASK, SETTINGS, seed=0)

    def start_server():
        server = server_algorithm(settings, job)
        server.begin(weights)
        return server

    def start_sites():
        return {
            site: Trainer(
                TASK,
                SETTINGS,
                cases,
                CPU,
                memory=RoundStateStore(folder / site),
                algorithm=local_algorithm(settings, SETTINGS),
            )
            for site, cases in sites.items()
        }

    server, trainers, models, changes = start_server(), start_sites(), [weights], []
    for index in range(ROUNDS):
        if restart and index:
            state = server.state()
            server, trainers = start_server(), start_sites()
            server.restore(state)
        (question,) = server.questions(RoundStart(index, weights, folder / f"round {index}"))
        for site, trainer in trainers.items():
            result = trainer.train(weights, Schedule(index, ROUNDS), sets=question.sets)
            check_outgoing(result, settings)
            report = SiteReport(role="trains", train_cases=1, validation_cases=0, steps=result.steps)
            sent = {MODEL: difference(result.weights, weights), **result.sent}
            question.aggregator.add(site, Contribution(sent, report))
            changes.append(sent)
        assert question.aggregator.screen() == {}
        weights = server.step(weights, server.combine())
        server.close()
        models.append(weights)
    return models, server, changes


@pytest.fixture(autouse=True)
def known():
    with scaffold():
        yield


def test_the_server_has_the_mean_of_the_sites_control_variates(sites, tmp_path):
    _, server, changes = federate(sites, tmp_path, "scaffold")
    for name, value in server.control.items():
        own = [sum(sent[CHANGE][name] for sent in changes[place::2]) for place in range(2)]
        assert np.abs(own[0] - own[1]).max() > 1e-3
        np.testing.assert_allclose(value, np.mean(own, axis=0), rtol=1e-4, atol=1e-6)


def test_corrected_updates_differ_less_between_hospitals(sites, tmp_path, monkeypatch):
    def gaps():
        _, _, sent = federate(sites, tmp_path / str(len(list(tmp_path.iterdir()))), "scaffold")
        rounds = ([one[MODEL]["weight"] for one in sent[at : at + 2]] for at in (0, 2))
        return [np.abs(north - south).sum() for north, south in rounds]

    first, corrected = gaps()
    monkeypatch.setattr(LocalScaffold, "after_backward", lambda self, local: None)
    same, plain = gaps()
    assert same == first
    assert corrected < 0.5 * plain


def test_both_halves_continue_after_a_restart(sites, tmp_path):
    whole, server, _ = federate(sites, tmp_path / "a", "scaffold")
    again, other, _ = federate(sites, tmp_path / "b", "scaffold", restart=True)
    for one, two in ((whole[-1], again[-1]), (server.control, other.control)):
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_nothing_of_it_is_left_out_of_the_declaration(sites, tmp_path):
    _, _, changes = federate(sites, tmp_path, "scaffold")
    assert {frozenset(sent) for sent in changes} == {frozenset({MODEL, CHANGE})}
    assert parse_algorithm({"name": "scaffold"}).declaration.received == (CONTROL,)
