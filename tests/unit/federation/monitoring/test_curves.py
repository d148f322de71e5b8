"""What is in TensorBoard's events: what the controller has taken, and nothing else."""

import pytest
from nvflare.apis.event_type import EventType
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from consilium.federation.monitoring.curves import EVENTS_FOLDER, ScoreCurves
from consilium.federation.monitoring.job_events import ANSWER_TAKEN
from consilium.records.readiness import SiteReadiness
from federation.flare import Engine
from federation.monitoring.test_progress import announce

REPORT = {"role": "trains", "train_cases": 3, "validation_cases": 1, "loss": 0.5}


@pytest.fixture
def engine(tmp_path):
    engine = Engine(tmp_path, {"tensorboard": ScoreCurves()}, clients=("north",))
    engine.fire_event(EventType.START_RUN, engine.context)
    return engine


def scalars(engine, site):
    engine.fire_event(EventType.END_RUN, engine.context)
    events = EventAccumulator(str(engine.run_folder / EVENTS_FOLDER / site)).Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_loss_and_scores_of_each_round_are_written(engine):
    for index in (0, 1):
        announce(engine, ANSWER_TAKEN, site="north", report=REPORT, scores={"dice": 0.25}, round=index)
    assert scalars(engine, "north") == {
        "train/loss": [(0, 0.5), (1, 0.5)],
        "validation/dice": [(0, 0.25), (1, 0.25)],
    }


def test_a_site_that_trains_nothing_has_no_loss(engine):
    report = {**REPORT, "role": "evaluates", "loss": None}
    announce(engine, ANSWER_TAKEN, site="north", report=report, scores={"dice": 0.25}, round=0)
    assert scalars(engine, "north").keys() == {"validation/dice"}


def test_another_job_s_answers_and_a_site_s_own_events_are_not_written(engine):
    readiness = SiteReadiness(can="train", hardware={"cores": 1, "memory_gib": 1.0, "free_disk_gib": 1.0})
    announce(engine, ANSWER_TAKEN, site="north", report=readiness.model_dump(), scores={}, round=0)
    announce(engine, "fed.analytix_log_stats", track_key="../../x", track_value=1)
    assert not (engine.run_folder / EVENTS_FOLDER).exists()
