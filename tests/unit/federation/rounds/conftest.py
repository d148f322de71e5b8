from functools import partial

import pytest
from nvflare.apis.fl_constant import SystemConfigs
from nvflare.apis.job_def import JobMetaKey
from nvflare.fuel.utils.config_service import ConfigService

from consilium.federation.message_names import RESUME_META
from consilium.federation.rounds.checkpoints import CHECKPOINTS
from federation.rehearsal import rehearse

from .interruption import ROUNDS, growing


@pytest.fixture
def run(tmp_path):
    """Run a job with sites in this process; returns its record and its engine."""
    return partial(rehearse, tmp_path)


@pytest.fixture
def place(monkeypatch):
    """The server's settings of its checkpoints."""
    values = {CHECKPOINTS: {"folder": "kept", "keep": 2}}
    monkeypatch.setitem(ConfigService._sections, SystemConfigs.RESOURCES_CONF, values)
    monkeypatch.setattr(ConfigService, "_var_values", {})
    return values[CHECKPOINTS]


@pytest.fixture
def run_job(tmp_path, place):
    """Run a job that has an id and a submitter, at a server that keeps checkpoints."""

    def run_job(
        job_id,
        sites=None,
        *,
        resume=None,
        learning=None,
        user="lead",
        study="default",
        screening=None,
        **more,
    ):
        meta = {JobMetaKey.SUBMITTER_NAME.value: user, JobMetaKey.STUDY.value: study}
        if resume:
            meta[RESUME_META] = resume
        return rehearse(
            tmp_path,
            sites or {"north": growing(), "south": growing()},
            job_id=job_id,
            meta=meta,
            learning={"task": "brain_tumor", **(learning or {})},
            local_only=True,
            screening=screening or {},
            **{"rounds": ROUNDS, **more},
        )

    return run_job
