"""The controller with its sites in one process."""

import itertools

import numpy as np
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.event_type import EventType
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import LOCAL_ONLY, REPORT_META, TEST, TRAIN
from consilium.federation.rounds.controller import FederatedTraining
from consilium.federation.rounds.persistor import WeightsPersistor
from consilium.learning.model_file import load_model
from consilium.participant.local_only import PairedScores
from consilium.records.federation import FederationRecord
from consilium.records.gain import measure_gain
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

from .flare import JOB_ID, Engine

ONE_ATTEMPT = {"attempts": 1}
_MARKS = itertools.count(1)


class TwoWeights(WeightsPersistor):
    """Keeps a model of two weights that starts at zero, and of one more that distinguishes updates."""

    def __init__(self):
        super().__init__({"task": "brain_tumor"})

    def load_model(self, fl_ctx):
        return make_model_learnable(weights={"w": np.zeros(2), "mark": np.zeros(1)}, meta_props={"round": 0})


class Rehearsal(FederatedTraining):
    """The controller with its sites in one process; how an answer is taken in is FLARE's own code."""

    def __init__(self, rounds, min_sites, learning=None, algorithm=None, **settings):
        learning = learning or {"task": "brain_tumor"}
        super().__init__(rounds, min_sites, learning, algorithm or {"name": "fedavg"}, **settings)

    def broadcast(self, task, fl_ctx, targets=None, min_responses=1, wait_time_after_min_received=0):
        assert targets, "FLARE takes no site for every site"
        clients = {client.name: client for client in self.engine.get_clients()}
        for name in targets:
            client_task = ClientTask(clients[name], task)
            client_task.result = self.sites[name](task.name, FLModelUtils.from_shareable(task.data))
            if client_task.result is not None:
                self._process_result(client_task, fl_ctx)

    def get_num_standing_tasks(self):
        return 0


class Site:
    """Trains by adding `step` to every weight; its Dice is a function of the model that it received.

    The Dice of the model that it trains alone is `alone`.
    """

    def __init__(self, cases=1, step=1.0, dice=lambda w: 0.1 * w, alone=0.25, **report):
        self.cases, self.step, self.dice, self.alone, self.report = cases, step, dice, alone, report
        self.seen = []

    def __call__(self, task, model):
        value = float(model.params["w"][0]) if model.params else None
        self.seen.append((task, value))
        trains = task == TRAIN and self.step is not None
        report = {
            "role": "evaluates" if self.step is None else "trains",
            "train_cases": self.cases,
            "validation_cases": 1,
            "validation_patients": 1,
            "test_cases": 1,
            "steps": BrainTumorSettings().steps_per_round(self.cases) if trains else 0,
            **({"gain": self.gain(value)} if task == LOCAL_ONLY else {}),
            **self.report,
        }
        metrics = get_task("brain_tumor").evaluation.metrics.in_round(final=task == TEST)
        silent = value is None or task == LOCAL_ONLY
        scores = {} if silent else {one.name: self.dice(value) for one in metrics}
        answer = FLModel(
            params_type=ParamsType.DIFF if trains else None,
            params=self.update() if trains else None,
            metrics={**scores, "validation_cases": 1.0, "test_cases": 1.0},
            current_round=model.current_round,
            meta={REPORT_META: report},
        )
        return FLModelUtils.to_shareable(answer)

    def gain(self, value):
        evaluation = get_task("brain_tumor").evaluation
        names = [one.name for one in evaluation.metrics.metrics if one.is_measured]
        alone, federated = (dict.fromkeys(names, dice) for dice in (self.alone, self.dice(value)))
        return measure_gain([PairedScores("a", "a", alone, federated)], evaluation).model_dump()

    def update(self):
        return {"w": np.full(2, self.step), "mark": np.full(1, next(_MARKS) * 1e-9)}


def rehearse(
    folder,
    sites,
    *,
    rounds=3,
    min_sites=2,
    abort=None,
    controller=Rehearsal,
    persistor=TwoWeights,
    job_id=JOB_ID,
    meta=None,
    on_event=None,
    **settings,
):
    """Run a job to its end; returns its record and its engine.

    Args:
        folder: Becomes the workspace.
        sites: By name; each is called with a task and the model, and returns its answer.
        rounds: Of the job.
        min_sites: Of the job.
        abort: The job's signal, for who triggers it.
        controller: Class of the controller.
        persistor: Class of the persistor.
        job_id: Of the job.
        meta: More of the job's meta data.
        on_event: Called with the engine, the controller, each event and its data.
        **settings: More of the controller's; a round has one attempt unless they say otherwise.
    """
    engine = Engine(folder, {"persistor": persistor()}, list(sites), job_id, meta)
    training = controller(rounds, min_sites, **{"quorum": ONE_ATTEMPT, **settings})
    training.sites, engine.components["training"] = sites, training
    if on_event:
        engine.on_event = lambda event, data: on_event(engine, training, event, data)
    training.start_controller(engine.context)
    training.control_flow(abort or Signal(), engine.context)
    return FederationRecord.load(engine.run_folder), engine


def saved(engine, name="model"):
    """The first weight of a saved model, and the round that the file says it is of."""
    weights, metadata = load_model(engine.run_folder / f"{name}.safetensors")
    return float(weights["w"][0]), int(metadata["round"])


def panics(engine):
    """Reasons for which FLARE was asked to end the job."""
    return [data for event, data in engine.events if event == EventType.FATAL_SYSTEM_ERROR]


def outcomes(record, site):
    """What became of a site's answer, by round."""
    return [one.sites[site].outcome for one in record.rounds]
