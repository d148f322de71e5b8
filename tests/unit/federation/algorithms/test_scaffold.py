"""SCAFFOLD's control variates at both ends."""

import numpy as np
import pytest
import torch

from consilium.federation.algorithms.base import RoundStart
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning import algorithms as at_site
from consilium.learning.algorithms import parse_algorithm
from consilium.learning.algorithms.scaffold import (
    CONTROL,
    OWN_CONTROL,
    LocalScaffold,
    ScaffoldAlgorithmSettings,
)
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport

from .small_federation import SETTINGS, server_half, train_rounds

SCAFFOLD = {"name": "scaffold"}
SHARES = {"north": 1 / 3, "south": 2 / 3}


def mean(sent, name, index=-1):
    return sum(SHARES[site] * one[index][OWN_CONTROL][name] for site, one in sent.items())


def test_the_corrections_of_all_sites_sum_to_zero(sites, tmp_path):
    """The server's control variate is the mean of the sites' by their shares, so `c - c_k` has mean zero."""
    done = train_rounds(sites, tmp_path, SCAFFOLD)
    for name, value in done.server.control.items():
        own = [one[-1][OWN_CONTROL][name] for one in done.sent.values()]
        assert np.abs(own[0] - own[1]).max() > 1e-4
        np.testing.assert_allclose(value, mean(done.sent, name), rtol=1e-5, atol=1e-7)
        total = sum(share * (value - one[-1][OWN_CONTROL][name]) for share, one in
                    ((SHARES[site], sent) for site, sent in done.sent.items()))  # fmt: skip
        np.testing.assert_allclose(total, 0, atol=1e-6)


def test_the_first_round_is_that_of_federated_averaging_and_later_ones_are_not(sites, tmp_path):
    plain = train_rounds(sites, tmp_path / "plain", {"name": "fedavg"})
    done = train_rounds(sites, tmp_path / "scaffold", SCAFFOLD)
    for name in plain.models[0]:
        np.testing.assert_array_equal(plain.models[1][name], done.models[1][name])
    assert any(not np.array_equal(plain.models[2][name], done.models[2][name]) for name in plain.models[2])


class Plain(LocalScaffold):
    """With plain gradient steps, as in the paper."""

    max_gradient_norm = None

    def build_optimizer(self, network):
        return torch.optim.SGD(network.parameters(), lr=self.learning.learning_rate)

    def begin(self, local):
        self.rates = 0.0
        self.before = self._own
        super().begin(local)

    def after_step(self, local):
        self.rates += local.optimizer.param_groups[0]["lr"]


class Checked(Plain):
    """Compares its control variate with the paper's option II, which divides what a round moved."""

    compared = 0

    def after_backward(self, local):
        for group in local.optimizer.param_groups:
            group["lr"] = 0.05  # the paper's rate is the same in every step
        super().after_backward(local)

    def end(self, local):
        out = super().end(local)
        for name, value in local.network.named_parameters():
            before = self.before.get(name, np.zeros(1)) - (local.sets[CONTROL][name] if self.before else 0)
            moved = (local.start[name] - value.detach().numpy()) / np.float32(self.rates)
            np.testing.assert_allclose(out.sets[OWN_CONTROL][name], before + moved, rtol=1e-3, atol=1e-5)
            Checked.compared += 1
        return out


def known_as(kind, monkeypatch):
    parts = at_site.AlgorithmParts(ScaffoldAlgorithmSettings, kind)
    monkeypatch.setitem(at_site.ALGORITHMS, "scaffold", parts)


def test_under_plain_steps_it_is_option_two_of_the_paper(sites, tmp_path, monkeypatch):
    known_as(Checked, monkeypatch)
    train_rounds(sites, tmp_path, SCAFFOLD)
    assert Checked.compared == 4 * 2 * 3  # parameters, sites, rounds


@pytest.mark.long
def test_corrected_updates_differ_less_between_hospitals(sites, tmp_path, monkeypatch):
    learning = SETTINGS.model_copy(update={"warmup": 0.0})

    def gap(folder):
        done = train_rounds(sites, tmp_path / folder, SCAFFOLD, learning=learning)
        north, south = (one[1][MODEL] for one in done.sent.values())
        return sum(np.abs(north[name] - south[name]).sum() for name in north)

    known_as(Plain, monkeypatch)
    corrected = gap("corrected")
    monkeypatch.setattr(LocalScaffold, "after_backward", lambda self, local: None)
    assert corrected < 0.6 * gap("plain")


def test_a_site_that_is_missing_counts_with_what_it_said_before(tmp_path):
    server = server_half(SCAFFOLD)
    weights = {"w": np.zeros(2)}
    server.begin(weights)
    server.job.screening.note_prepared("north", 1)
    server.job.screening.note_prepared("south", 3)

    def round_of(index, controls):
        (question,) = server.questions(RoundStart(index, weights, tmp_path))
        for site, value in controls.items():
            report = SiteReport(
                role="trains", train_cases={"north": 1, "south": 3}[site], validation_cases=0, steps=4
            )
            sets = {MODEL: {"w": np.full(2, index + value)}, OWN_CONTROL: {"w": np.full(2, value)}}
            question.aggregator.add(site, Contribution(sets, report))
        server.step(weights, server.combine())
        server.close()
        return server.control["w"][0]

    assert round_of(0, {"north": 1.0, "south": 2.0}) == pytest.approx(0.25 * 1 + 0.75 * 2)
    assert round_of(1, {"north": 5.0}) == pytest.approx(0.75 * 1.75 + 0.25 * 5)
    assert round_of(2, {"north": 1.0, "south": 2.0}) == pytest.approx(1.75)  # what was lost is not for good


def test_a_control_variate_that_no_gradients_can_have_is_rejected(tmp_path):
    server = server_half(SCAFFOLD)
    weights = {"w": np.zeros(2)}
    server.begin(weights)
    (question,) = server.questions(RoundStart(0, weights, tmp_path))
    report = SiteReport(role="trains", train_cases=1, validation_cases=0, steps=4)
    for value in (100.0, np.nan, 1e200):
        sets = {MODEL: {"w": np.ones(2)}, OWN_CONTROL: {"w": np.full(2, value)}}
        with pytest.raises(RejectedUpdate, match=r"control variate|not finite"):
            question.aggregator.add("evil", Contribution(sets, report))
    server.close()


def test_nothing_of_it_is_left_out_of_the_declaration(sites, tmp_path):
    done = train_rounds(sites, tmp_path, SCAFFOLD, rounds=1)
    assert {frozenset(one[0]) for one in done.sent.values()} == {frozenset({MODEL, OWN_CONTROL})}
    assert parse_algorithm(SCAFFOLD).declaration.received == (CONTROL,)
