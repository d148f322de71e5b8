"""A hospital in a cyclic job: its turn, the others' turns, and its consent."""

import pytest
from learning.tiny import LEARNING, site
from nvflare.apis.fl_constant import ReturnCode
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from openings import count_openings

from consilium.federation.message_names import CODE_HEADER, PREPARE, QUESTION_META, REASON_HEADER, TRAIN
from consilium.federation.site.executor import SiteExecutor
from consilium.participant.register_files import read_register
from consilium.privacy.ledger import PrivacyLedger

from .answers import answer_of, at_site, execute, request

ALLOWED = {"updates_to_hospitals": True}


@pytest.fixture
def ask(engine, tmp_path):
    """Asks the hospital north to train; `content` is what the server says to the algorithm."""
    settings = site(tmp_path, privacy=ALLOWED)
    at_site(engine, settings)
    executor = SiteExecutor(LEARNING.model_dump(mode="json"), {"name": "cyclic"}, min_sites=2)

    def ask(content, index=0):
        model = FLModelUtils.from_shareable(request(current_round=index))
        if content is not None:
            model.meta[QUESTION_META] = content
        return execute(executor, engine, TRAIN, FLModelUtils.to_shareable(model))

    ask.settings = settings
    return ask


def entries(settings):
    return PrivacyLedger(settings.state_dir, read_register(settings).ledger_key).read().entries


def test_in_its_turn_it_sends_an_update(ask):
    model, report = answer_of(ask({"turn": "north"}))
    assert model.params
    assert report.steps == LEARNING.local_steps
    assert len(entries(ask.settings)) == 1


def test_in_another_s_turn_it_only_scores_and_its_patients_spend_nothing(ask):
    model, report = answer_of(ask({"turn": "south"}))
    assert not model.params
    assert (report.role, report.steps, report.loss) == ("trains", 0, None)
    assert model.metrics
    assert not entries(ask.settings)


@pytest.mark.parametrize(
    "forged", [None, {}, {"turn": 1}, {"turn": ["north"]}, {"turn": "north", "more": 1}, "north"], ids=str
)
def test_a_task_that_does_not_name_one_site_trains_nothing(ask, forged):
    reply = ask(forged)
    assert reply.get_return_code() != ReturnCode.OK
    assert "does not say whose turn it is" in reply.get_header(REASON_HEADER)
    assert not entries(ask.settings)


@pytest.mark.parametrize(
    ("privacy", "reason"),
    [
        ({}, "it lets no other hospital see its update (updates_to_hospitals), and in this job others do"),
        ({**ALLOWED, "min_sites": 2}, "it demands 2 sites a round, and this job needs 1 only"),
        ({**ALLOWED, "secure_aggregation": True}, "it demands secure aggregation"),
    ],
)
def test_without_consent_it_declines_before_a_file_of_a_patient_is_read(engine, tmp_path, privacy, reason):
    settings = site(tmp_path, privacy=privacy)
    at_site(engine, settings)
    executor = SiteExecutor(LEARNING.model_dump(mode="json"), {"name": "cyclic"}, min_sites=2)
    with count_openings(settings.dataset) as opened:
        for task in (PREPARE, TRAIN):
            reply = execute(executor, engine, task)
            assert reply.get_header(CODE_HEADER) == "privacy_demand"
            assert reason in reply.get_header(REASON_HEADER)
    assert not opened
