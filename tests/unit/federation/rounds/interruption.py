"""Jobs whose server dies while a site works."""

import json

import pytest
from nvflare.apis.job_def import new_job_id

from consilium.federation.rounds.checkpoints import CheckpointPlace
from consilium.learning.model_file import load_model
from federation.rehearsal import Site

FIRST, SECOND, THIRD = (new_job_id() for _ in range(3))
ROUNDS = 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours can answer it."""


class Deadly(Site):
    """The server is killed while this site works on a task of a round, counted from 0."""

    def __init__(self, task, index, **site):
        super().__init__(**site)
        self.deadly = (task, index)

    def __call__(self, task, model):
        if (task, model.current_round) == self.deadly:
            raise Killed
        return super().__call__(task, model)


def growing(**site):
    return Site(dice=lambda w: {0: 0.1, 1: 0.4, 2: 0.9, 3: 0.6, 4: 0.5}[round(w)], **site)


def interrupt(run_job, job_id, task, index, **options):
    sites = {"north": growing(), "south": Deadly(task, index, dice=growing().dice)}
    with pytest.raises(Killed):
        run_job(job_id, sites, **options)


def store(tmp_path, job_id):
    return CheckpointPlace(folder=tmp_path / "kept").of_job(job_id)


def model(engine, name):
    return load_model(engine.run_folder / f"{name}.safetensors")


def without_times(record):
    """What a record says about the learning; not how long it took or which jobs did it."""
    content = json.loads(record.model_dump_json(exclude={"resumed", "preparation", "preparation_seconds"}))
    for one in content["rounds"]:
        del one["seconds"]
        for site in one["sites"].values():
            del site["update_norm"]  # a rehearsed site marks its updates, so that none looks like a replay
    return content
