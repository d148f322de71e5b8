"""A hospital that hides itself as a whole, in jobs of any algorithm: what leaves, and what it pays."""

from typing import ClassVar

import numpy as np
import pytest
from learning.tiny import LEARNING, site
from openings import count_openings

from consilium.federation.message_names import CODE_HEADER, LOCAL_ONLY, PREPARE, REASON_HEADER, TRAIN
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.algorithms import ALGORITHMS, AlgorithmParts
from consilium.learning.algorithms.fedavg import FedAvgAlgorithmSettings, LocalFedAvg
from consilium.learning.weights import MODEL, split_sets
from consilium.participant.register_files import read_register
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.spending import group_patients, hospital_mechanisms

from .answers import answer_of, at_site, execute, request

NOISE = {"clip": 0.01, "noise_multiplier": 20.0, "delta": 1e-4}
MECHANISM = HospitalNoise.parse(NOISE, source="test").mechanism


def hospital(engine, tmp_path, **changes):
    settings = site(tmp_path, hospital_noise={**NOISE, **changes})
    at_site(engine, settings)
    return settings


def executor_of(algorithm=None):
    return SiteExecutor(LEARNING.model_dump(mode="json"), algorithm)


def ledger_of(settings):
    return PrivacyLedger(settings.state_dir, read_register(settings).ledger_key).read()


def refusal(reply):
    return reply.get_header(CODE_HEADER), reply.get_header(REASON_HEADER)


def values_of(model, declared=()):
    update = split_sets(model.params, declared)[MODEL]
    return np.concatenate([np.ravel(value) for value in update.values()])


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", ["fedavg", "fedprox", "fednova", "ditto"])
def test_the_update_of_any_job_leaves_with_the_hospital_s_noise(engine, tmp_path, name):
    hospital(engine, tmp_path)
    model, report = answer_of(execute(executor_of({"name": name}), engine, TRAIN))
    assert np.std(values_of(model)) == pytest.approx(0.01 * 20.0, rel=0.02)
    assert report.hospital_noise == 20.0


def test_no_loss_and_no_score_of_validation_patients_leaves(engine, tmp_path, monkeypatch):
    hospital(engine, tmp_path)
    executor = executor_of()
    shown = []
    monkeypatch.setattr(executor._state, "report", lambda *args, loss=None, **others: shown.append(loss))
    model, report = answer_of(execute(executor, engine, TRAIN))
    assert (report.loss, report.validation_cases, report.validation_patients) == (None, None, None)
    assert not {name for name in model.metrics if name.startswith(("dice", "hd95", "validation"))}
    assert len(shown) > LEARNING.local_steps
    assert set(shown) == {None}


def test_every_attempt_pays_for_the_hospital_and_nothing_for_its_patients(engine, tmp_path):
    settings = hospital(engine, tmp_path)
    executor = executor_of()
    execute(executor, engine, PREPARE)
    first, second = (
        values_of(answer_of(execute(executor, engine, TRAIN, request(current_round=0)))[0]) for _ in range(2)
    )
    # Two updates with one noise could be subtracted.
    assert np.std(first - second) == pytest.approx(np.sqrt(2) * 0.2, rel=0.02)
    content = ledger_of(settings)
    paid = content.of_unit("hospital")
    assert [(one.round_index, one.attempt) for one in paid] == [(0, 1), (0, 2)]
    assert hospital_mechanisms(content) == (MECHANISM.repeat(2),)
    assert not any(group.mechanisms for group in group_patients(content))


def test_a_round_beyond_the_hospital_s_budget_is_not_trained(engine, tmp_path):
    two_rounds = epsilon_spent([MECHANISM.repeat(2)], 1e-4)
    settings = hospital(engine, tmp_path, epsilon=two_rounds * 1.001)
    executor = executor_of()
    for _ in range(2):
        answer_of(execute(executor, engine, TRAIN, request(current_round=0)))
    code, reason = refusal(execute(executor, engine, TRAIN, request(current_round=1)))
    assert code == "privacy_budget"
    assert "the hospital as a whole, with this round" in reason
    assert len(ledger_of(settings).of_unit("hospital")) == 2


def test_a_job_whose_rounds_pass_the_budget_is_declined_before_the_first(engine, tmp_path):
    two_rounds = epsilon_spent([MECHANISM.repeat(2)], 1e-4)
    settings = hospital(engine, tmp_path, epsilon=two_rounds * 0.99)
    code, reason = refusal(execute(executor_of(), engine, PREPARE))
    assert code == "privacy_budget"
    assert "with 2 rounds" in reason
    assert not ledger_of(settings).of_unit("hospital")


def test_it_is_no_protection_by_patient_whatever_its_epsilon(engine, tmp_path):
    """A hospital that demands formal protection of its patients declines a job that has none."""
    settings = site(
        tmp_path, privacy={"level": "reconstruction"}, hospital_noise={**NOISE, "noise_multiplier": 1e4}
    )
    at_site(engine, settings)
    code, reason = refusal(execute(executor_of(), engine, TRAIN))
    assert code == "privacy_demand"
    assert "this job offers none" in reason


def test_what_the_noise_does_not_cover_is_declined_by_name_before_a_case_is_read(engine, tmp_path):
    settings = hospital(engine, tmp_path)
    with count_openings(settings.dataset) as opened:
        code, reason = refusal(execute(executor_of({"name": "scaffold"}), engine, TRAIN))
    assert code == "privacy_demand"
    assert "'scaffold' also sends" in reason
    assert not opened


def test_no_model_is_trained_alone_to_compare_with(engine, tmp_path):
    hospital(engine, tmp_path)
    code, reason = refusal(execute(executor_of(), engine, LOCAL_ONLY))
    assert code == "privacy_demand"
    assert "no noise" in reason


def test_a_hospital_without_it_sends_what_it_sent_before(engine, tmp_path):
    settings = site(tmp_path)
    at_site(engine, settings)
    model, report = answer_of(execute(executor_of(), engine, TRAIN))
    assert report.loss is not None
    assert report.hospital_noise is None
    assert 0 < np.std(values_of(model)) < 0.02
    (entry,) = ledger_of(settings).entries
    assert (entry.unit, entry.mechanisms) == ("patient", ())  # nothing bounds what it sent


class OfSum(FedAvgAlgorithmSettings):
    """An algorithm whose sums have noise, as far as the hospital's own files say."""

    noise: ClassVar[float] = 0.0

    def sum_noise(self, local):
        return self.noise


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(("of_sum", "added"), [(19.0, True), (20.0, False), (30.0, False)])
def test_the_noise_of_a_sum_counts_if_it_is_at_least_what_the_hospital_demands(
    engine, tmp_path, monkeypatch, of_sum, added
):
    """Otherwise the hospital adds all of its own: a job with less noise is none without."""
    settings = hospital(engine, tmp_path)
    monkeypatch.setattr(OfSum, "noise", of_sum)
    monkeypatch.setitem(ALGORITHMS, "fedavg", AlgorithmParts(OfSum, LocalFedAvg))
    model, report = answer_of(execute(executor_of({"name": "fedavg"}), engine, TRAIN))
    assert bool(np.std(values_of(model)) > 0.1) is added
    assert report.hospital_noise == max(of_sum, 20.0)
    assert hospital_mechanisms(ledger_of(settings))[0].noise_multiplier == max(of_sum, 20.0)
    assert report.loss is None


def test_the_noise_of_a_sum_is_paid_where_the_hospital_demands_none(engine, tmp_path, monkeypatch):
    settings = site(tmp_path)
    at_site(engine, settings)
    monkeypatch.setattr(OfSum, "noise", 2.5)
    monkeypatch.setitem(ALGORITHMS, "fedavg", AlgorithmParts(OfSum, LocalFedAvg))
    _, report = answer_of(execute(executor_of({"name": "fedavg"}), engine, TRAIN))
    assert report.hospital_noise == 2.5
    assert len(ledger_of(settings).of_unit("hospital")) == 1


def test_a_hospital_that_only_evaluates_has_nothing_to_hide(engine, tmp_path):
    settings = site(tmp_path, role="evaluates", hospital_noise=NOISE)
    at_site(engine, settings)
    _, report = answer_of(execute(executor_of(), engine, TRAIN))
    assert report.hospital_noise is None
    assert report.test_cases == 3
