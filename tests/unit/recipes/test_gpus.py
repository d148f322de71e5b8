"""What FLARE's scheduler makes of the GPUs that a job asks for, with its resource manager at each site."""

import json
from pathlib import Path

import pytest
from nvflare.apis.client import Client
from nvflare.apis.fl_context import FLContext, FLContextManager
from nvflare.apis.job_def import Job, job_from_meta
from nvflare.apis.server_engine_spec import ServerEngineSpec
from nvflare.app_common.job_schedulers.job_scheduler import DefaultJobScheduler
from nvflare.app_common.resource_managers.gpu_resource_manager import GPUResourceManager
from nvflare.security.study_registry import StudyRegistryService

from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job


class Engine(ServerEngineSpec):
    """A server with connected sites; only what the scheduler asks of it."""

    def __init__(self, gpus: dict[str, int]) -> None:
        self.managers = {
            site: GPUResourceManager(count, mem_per_gpu_in_GiB=24, ignore_host=True)
            for site, count in gpus.items()
        }

    def get_clients(self) -> list[Client]:
        return [Client(site, token=site) for site in self.managers]

    def check_client_resources(self, job, resource_reqs, fl_ctx):
        return {
            site: self.managers[site].check_resources(request, fl_ctx)
            for site, request in resource_reqs.items()
        }

    def cancel_client_resources(self, resource_check_results, resource_reqs, fl_ctx):
        for site, (enough, token) in resource_check_results.items():
            if enough:
                self.managers[site].cancel_resources(resource_reqs[site], token, fl_ctx)

    def new_context(self) -> FLContext:
        return FLContextManager(self, "server", "").new_context()


Engine.__abstractmethods__ = frozenset()  # the rest of a server is never called


class Store:
    """The server's job store, as far as the scheduler writes to it."""

    def refresh_meta(self, job, meta_keys, fl_ctx):
        pass


def exported(name: str, folder: Path) -> Job:
    meta = json.loads((export_job(build_recipe(name), folder) / "meta.json").read_text())
    return job_from_meta({**meta, "job_id": name})


def schedule(job: Job, gpus: dict[str, int]) -> set[str]:
    engine = Engine(gpus)
    _, sites = DefaultJobScheduler().schedule_job(Store(), [job], engine.new_context())
    return set(sites or ()) - {"server"}


@pytest.fixture(autouse=True)
def without_studies():
    StudyRegistryService.initialize(None)


def test_a_job_without_gpus_runs_at_every_site(tmp_path):
    job = exported("brain_tumor_fedavg", tmp_path)
    assert schedule(job, {"north": 0, "south": 0}) == {"north", "south"}


def test_a_job_with_gpus_runs_where_they_are(tmp_path):
    job = exported("brain_tumor_fedavg_gpu", tmp_path)
    assert schedule(job, {"north": 4, "south": 1, "clinic": 0}) == {"north", "south"}


def test_a_job_that_finds_too_few_sites_with_gpus_says_so_in_its_history(tmp_path):
    job = exported("brain_tumor_fedavg_gpu", tmp_path)
    assert schedule(job, {"north": 4, "clinic": 0}) == set()
    assert (
        "not enough sites have enough resources (ok sites 1 < min sites 2)" in job.meta["schedule_history"][0]
    )
