"""The controller with its sites in one process."""

import itertools

import numpy as np
from nvflare.apis.controller_spec import ClientTask
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import LOCAL_ONLY, REPORT_META, TRAIN, VALIDATE
from consilium.federation.rounds.controller import FederatedTraining
from consilium.federation.rounds.persistor import WeightsPersistor
from consilium.participant.paired_scores import PairedScores
from consilium.records.gain import measure_gain
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.task import BrainTumorSettings

_MARKS = itertools.count(1)


class TwoWeights(WeightsPersistor):
    """Keeps a model of two weights that starts at zero, and of one more that tells updates apart."""

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
            "steps": BrainTumorSettings().steps_per_round(self.cases) if trains else 0,
            **({"gain": self.gain(value)} if task == LOCAL_ONLY else {}),
            **self.report,
        }
        metrics = get_task("brain_tumor").evaluation.metrics.in_round(final=task == VALIDATE)
        silent = value is None or task == LOCAL_ONLY
        scores = {} if silent else {one.name: self.dice(value) for one in metrics}
        answer = FLModel(
            params_type=ParamsType.DIFF if trains else None,
            params=self.update() if trains else None,
            metrics={**scores, "validation_cases": 1.0},
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
