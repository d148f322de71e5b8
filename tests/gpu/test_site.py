"""A hospital with a GPU: the device it names, and what `check-site` and readiness say of it."""

import subprocess

import psutil
import pytest
import torch
from site_check.federation import hospital_kit, provision
from site_check.test_machine import asking, declaring

from consilium.errors import ConfigurationError
from consilium.federation.site.assessment import hardware
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import open_device, process_count
from consilium.learning.estimate import GIB
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.site_check.finding import Status
from consilium.site_check.gpu import check_capacity, check_gpu_memory
from consilium.site_check.job import load_site_job

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("cuda_only")]


@pytest.fixture(scope="module")
def kits(gpu, tmp_path_factory):
    return provision(tmp_path_factory.mktemp("federation"), project="consilium")


@pytest.fixture
def root(kits, tmp_path):
    return hospital_kit(kits, tmp_path / "north", tmp_path)


@pytest.fixture
def job():
    return load_site_job("brain_tumor_fedavg_gpu")


def site(tmp_path, **values):
    return SiteSettings(dataset=tmp_path, cache_dir=tmp_path / "cache", **values)


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_a_device_by_any_of_its_names(name):
    device = open_device(ComputeSettings(device=name, cpu_threads=1))
    assert device.move(torch.zeros(1, 1, 2, 2, 2)).device == torch.device("cuda:0")
    count = 1 if ":" in name else torch.cuda.device_count()
    assert process_count(ComputeSettings(device=name)) == count


def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ConfigurationError, match=rf"'{absent}' is not on this machine.*'auto' or 'cpu'"):
        open_device(ComputeSettings(device=absent, cpu_threads=1))


def test_gpus_are_counted_as_declared(root, job):
    present = len(subprocess.check_output(["nvidia-smi", "-L"], text=True).splitlines())
    good = check_capacity(declaring(root, 1), asking(job, 1))
    assert good.status is Status.OK, good
    assert good.data["present"] == present
    bad = check_capacity(declaring(root, present + 1), job)
    assert bad.status is Status.FAILED
    assert "num_of_gpus" in bad.remedy
    assert f"to {present}" in bad.remedy


def test_the_memory_that_a_job_takes_is_compared_with_the_gpu_s(root, job, tmp_path):
    finding = check_gpu_memory(Kit(root), site(tmp_path), job)
    total = min(
        torch.cuda.get_device_properties(one).total_memory for one in range(torch.cuda.device_count())
    )
    assert finding.data["total_gib"] == pytest.approx(total / GIB, abs=0.01)
    assert (finding.status is Status.OK) == (total / GIB >= finding.data["needed_gib_estimate"])
    absent = f"cuda:{torch.cuda.device_count()}"
    assert check_gpu_memory(Kit(root), site(tmp_path, device=absent), job).status is Status.FAILED


def test_readiness_names_the_gpu_and_takes_none_of_its_memory(tmp_path):
    found = hardware(site(tmp_path))
    assert len(found.gpus_gib) == torch.cuda.device_count()
    assert all(memory > 1 for memory in found.gpus_gib)
    assert found.memory_gib == pytest.approx(psutil.virtual_memory().total / GIB, abs=0.1)
    assert hardware(site(tmp_path, device="cpu")).gpus_gib == []
