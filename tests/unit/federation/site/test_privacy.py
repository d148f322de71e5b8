"""What a hospital demands of a job's privacy, through the executor."""

import numpy as np
import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.fl_constant import ReturnCode
from openings import count_openings
from toy_private import NOISE, STEPS, LocalPrivateToy, private_toy

from consilium.federation.message_names import (
    CODE_HEADER,
    LOCAL_ONLY,
    PREPARE,
    REASON_HEADER,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.algorithms import ALGORITHMS
from consilium.participant.register_files import read_register
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.ledger import LEDGER_FILE, PrivacyLedger
from consilium.privacy.mechanism import SampledGaussian

from .answers import answer_of, at_site, execute, request

RUN = "6a3b1c9e-5d1f-4b53-9a54-0d3c8e0b7f11"
ROUND = SampledGaussian(noise_multiplier=NOISE, sampling_rate=0.1, steps=STEPS)


def executor_of(algorithm, min_sites=2) -> SiteExecutor:
    return SiteExecutor(LEARNING.model_dump(mode="json"), algorithm, min_sites=min_sites)


def hospital(engine, tmp_path, **privacy):
    settings = site(tmp_path, privacy={"level": "formal", **privacy})
    at_site(engine, settings)
    return settings


def refusal(reply) -> tuple[str, str]:
    assert reply.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    return reply.get_header(CODE_HEADER), reply.get_header(REASON_HEADER)


@pytest.mark.parametrize("task", [PREPARE, TRAIN, VALIDATE, TEST])
@pytest.mark.parametrize(
    ("offered", "demanded"),
    [
        (None, {}),
        ({"epsilon": 50.0}, {}),
        ({"epsilon": 9.0}, {"job_epsilon": 3.0}),
        ({"epsilon": 9.0}, {"min_sites": 3}),
        ({"epsilon": 9.0}, {"secure_aggregation": True}),
    ],
)
def test_a_job_that_offers_less_is_refused_before_anything_is_read(engine, tmp_path, task, offered, demanded):
    settings = hospital(engine, tmp_path, **demanded)
    with private_toy(**(offered or {})) as algorithm:
        executor = executor_of(algorithm if offered else None)
        with count_openings(settings.dataset) as opened:
            code, reason = refusal(execute(executor, engine, task))
    assert code == "privacy_demand"
    assert str(tmp_path) not in reason
    assert not opened
    assert not settings.cache_dir.exists()
    assert not settings.state_dir.exists()


QUESTIONS = [
    (name, question)
    for name, parts in ALGORITHMS.items()
    for question in parts.settings.declaration.questions
]


@pytest.mark.parametrize(("name", "question"), QUESTIONS)
def test_a_site_that_declines_a_job_answers_none_of_its_algorithm_s_questions(
    engine, tmp_path, name, question
):
    """Else the others would wait for the keys, or the turn, of a site that never trains."""
    settings = hospital(engine, tmp_path)
    code, _ = refusal(execute(executor_of({"name": name}), engine, question))
    assert code == "privacy_demand"
    assert not settings.state_dir.exists()


def test_a_round_is_trained_with_what_was_paid(engine, tmp_path):
    settings = hospital(engine, tmp_path, epsilon=9.0)
    with private_toy() as algorithm:
        executor = executor_of(algorithm)
        execute(executor, engine, PREPARE)
        assert not (settings.state_dir / LEDGER_FILE).exists()
        answer_of(execute(executor, engine, TRAIN, request(current_round=0)))
        answer_of(execute(executor, engine, TRAIN, request(current_round=0)))
    assert LocalPrivateToy.paid == [(ROUND,), (ROUND,)]
    content = PrivacyLedger(settings.state_dir, read_register(settings).ledger_key).read()
    assert [(entry.round_index, entry.attempt) for entry in content.entries] == [(0, 1), (0, 2)]


def test_a_job_with_noise_has_no_model_trained_alone_whatever_the_server_asks(engine, tmp_path):
    settings = hospital(engine, tmp_path)
    with private_toy() as algorithm, count_openings(settings.dataset) as opened:
        code, reason = refusal(execute(executor_of(algorithm), engine, LOCAL_ONLY))
    assert code == "privacy_demand"
    assert "no noise" in reason
    assert not opened


def test_a_plan_beyond_the_budget_is_refused_before_the_first_round(engine, tmp_path):
    two_rounds = epsilon_spent([ROUND.repeat(2)], 1e-4)
    hospital(engine, tmp_path, epsilon=two_rounds * 0.99)
    with private_toy() as algorithm:
        executor = executor_of(algorithm)
        for task in (PREPARE, TRAIN):
            code, reason = refusal(execute(executor, engine, task))
            assert code == "privacy_budget"
            assert f"with 2 rounds: allowed {two_rounds * 0.99:g}, spent 0, then {two_rounds:.4g}" in reason
    assert LocalPrivateToy.paid == []


def test_a_round_beyond_the_budget_is_not_trained(engine, tmp_path):
    two_rounds = epsilon_spent([ROUND.repeat(2)], 1e-4)
    hospital(engine, tmp_path, epsilon=two_rounds)
    with private_toy() as algorithm:
        executor = executor_of(algorithm)
        for index in (0, 0):
            answer_of(execute(executor, engine, TRAIN, request(current_round=index)))
        assert refusal(execute(executor, engine, TRAIN, request(current_round=1)))[0] == "privacy_budget"
    assert len(LocalPrivateToy.paid) == 2


def test_a_server_that_says_fewer_rounds_meets_the_budget_all_the_same(engine, tmp_path):
    one_round = epsilon_spent([ROUND], 1e-4)
    hospital(engine, tmp_path, epsilon=one_round)
    with private_toy() as algorithm:
        executor = executor_of(algorithm)
        first = request(current_round=0, run=RUN)
        answer_of(execute(executor, engine, TRAIN, first))
        again = request(current_round=1, run=RUN)
        assert refusal(execute(executor, engine, TRAIN, again))[0] == "privacy_budget"


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("named", [RUN, None, "another", 7, "x" * 200])
def test_a_payment_names_the_training_that_the_server_says_is_resumed(engine, tmp_path, named):
    settings = hospital(engine, tmp_path)
    with private_toy() as algorithm:
        answer_of(execute(executor_of(algorithm), engine, TRAIN, request(run=named)))
    (entry,) = PrivacyLedger(settings.state_dir, read_register(settings).ledger_key).read().entries
    assert entry.run == (RUN if named == RUN else entry.job)


def test_a_damaged_ledger_stops_the_job_and_the_reason_names_no_path(engine, tmp_path):
    settings = hospital(engine, tmp_path)
    with private_toy() as algorithm:
        executor = executor_of(algorithm)
        answer_of(execute(executor, engine, TRAIN, request(current_round=0)))
        (settings.state_dir / LEDGER_FILE).write_bytes(b"")
        code, reason = refusal(execute(executor, engine, TRAIN, request(current_round=1)))
    assert (code, reason) == ("privacy_ledger", "its privacy ledger can't be used; the site's log says why")
    assert len(LocalPrivateToy.paid) == 1


@pytest.mark.long
def test_a_round_with_noise_starts_from_no_moments_of_a_run_without(engine, tmp_path):
    """The server names the run; a step of AdamW shows the moments that it starts from."""
    updates = []
    for before in (False, True):
        folder = tmp_path / str(before)
        if before:
            at_site(engine, site(folder))
            answer_of(execute(executor_of(None), engine, TRAIN, request(current_round=0, run=RUN)))
        hospital(engine, folder)
        with private_toy() as algorithm:
            reply = execute(executor_of(algorithm), engine, TRAIN, request(current_round=1, run=RUN))
            updates.append(answer_of(reply)[0].params)
    assert all(np.array_equal(updates[0][name], updates[1][name]) for name in updates[0])
