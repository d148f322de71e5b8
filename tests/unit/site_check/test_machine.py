import os
import subprocess
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch

from consilium.data.cohort import read_cohort
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit, editable
from consilium.site_check import disk, gpu, machine
from consilium.site_check.disk import check_disk
from consilium.site_check.finding import Status
from consilium.site_check.gpu import check_capacity, check_gpu_memory
from consilium.site_check.job import SiteJob, load_site_job
from consilium.site_check.machine import check_account, check_clock, check_shared_memory
from consilium.tasks.brain_tumor.cases import CASES

from .federation import read, write

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def site(dataset, tmp_path):
    return SiteSettings(dataset=dataset, cache_dir=tmp_path / "cache")


def with_gpus(monkeypatch, *gib):
    """This machine's GPUs, as nvidia-smi and torch see them."""
    monkeypatch.setattr(gpu, "get_host_gpu_ids", lambda: list(range(len(gib))))
    monkeypatch.setattr(gpu, "get_host_gpu_memory_total", lambda: [int(size * 1024) for size in gib])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(gib))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gib))
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda index: SimpleNamespace(total_memory=int(gib[index] * GIB)),
    )


def declaring(root, gpus, gib=0):
    path = root / "local" / "resources.json"
    resources = read(path)
    for component in resources["components"]:
        if component["id"] == "resource_manager":
            component["args"] |= {"num_of_gpus": gpus, "mem_per_gpu_in_GiB": gib}
    write(path, resources)
    return Kit(root)


def asking(job, gpus, gib=0):
    wanted = {"num_of_gpus": gpus, "mem_per_gpu_in_GiB": gib}
    return SiteJob(job.name, job.learning, job.classes, {"resource_spec": {"@default": wanted}})


@pytest.mark.parametrize(
    ("there", "declared", "asked", "seen", "remedy"),
    [
        ((), (1, 0), 0, "FLARE would not start", "nvidia-smi"),
        ((24,), (2, 0), 1, "2 declared in local/resources.json, 1 seen", "num_of_gpus"),
        ((24, 11), (2, 16), 1, "the smallest has 11.0", "set mem_per_gpu_in_GiB"),
        ((24,), (0, 0), 1, "asks for 1: it would never be scheduled", "num_of_gpus"),
        ((24,), (1, 8), 1, "asks for 16 GiB a GPU and 8 are declared", "mem_per_gpu_in_GiB"),
    ],
)
def test_gpus_that_do_not_fit_are_rejected(
    root, job, monkeypatch, refused, there, declared, asked, seen, remedy
):
    with_gpus(monkeypatch, *there)
    refused(check_capacity(declaring(root, *declared), asking(job, asked, 16 * asked)), seen, remedy)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("echo 'Failed to initialize NVML: Driver/library version mismatch' >&2; exit 18", "Failed to call"),
        ("printf 'index\\n0\\n'", "can't use what nvidia-smi answers"),
    ],
    ids=["driver updated", "no memory named"],
)
def test_a_driver_that_does_not_answer_is_a_finding(root, job, monkeypatch, tmp_path, refused, answer, said):
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    refused(check_capacity(declaring(root, 1), job), said, "try: nvidia-smi")
    assert check_capacity(declaring(root, 0), job).status is Status.OK


def test_gpus_as_declared_are_well(root, job, monkeypatch):
    with_gpus(monkeypatch, 24, 24)
    finding = check_capacity(declaring(root, 2, 24), asking(job, 1, 16))
    assert finding.status is Status.OK
    assert finding.data == {"declared": 2, "present": 2, "asked_for": 1}


def test_a_site_that_declares_no_gpus_is_well_for_a_job_that_asks_for_none(kit, job, monkeypatch):
    with_gpus(monkeypatch)
    assert check_capacity(kit, job).status is Status.OK


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("there", "device", "asked", "seen", "remedy"),
    [
        ((0.5,), "auto", 0, "0.5 GiB on the smallest of 1 GPU", "smaller samples"),
        ((24,), "cuda:1", 0, "torch sees 1 CUDA device", "nvidia-smi"),
        ((), "auto", 1, "torch sees 0 CUDA devices", "the build of torch"),
        ((24,), "cpu", 1, "sets the device to cpu", '"device": "auto"'),
        ((24, 24), "cuda:1", 1, "FLARE chooses", '"device": "auto"'),
    ],
)
def test_too_little_gpu_memory_is_rejected(
    kit, site, job, monkeypatch, refused, there, device, asked, seen, remedy
):
    with_gpus(monkeypatch, *there)
    refused(
        check_gpu_memory(kit, site.model_copy(update={"device": device}), asking(job, asked)), seen, remedy
    )


@pytest.mark.parametrize(
    ("there", "device", "status"),
    [((24,), "auto", Status.OK), ((), "auto", Status.SKIPPED), ((24,), "cpu", Status.SKIPPED)],
)
def test_gpu_memory_is_an_estimate_and_only_asked_where_a_gpu_is_used(
    kit, site, job, monkeypatch, there, device, status
):
    with_gpus(monkeypatch, *there)
    finding = check_gpu_memory(kit, site.model_copy(update={"device": device}), job)
    assert finding.status is status
    if status is Status.OK:
        assert "estimate" in finding.seen


@pytest.mark.long
def test_several_gpus_share_a_batch(kit, site, monkeypatch):
    with_gpus(monkeypatch, 24, 11)
    large = load_site_job("brain_tumor_fedavg_gpu")
    both, one = (
        check_gpu_memory(kit, site.model_copy(update={"processes": number}), asking(large, number))
        for number in (2, 1)
    )
    assert (both.data["gpus"], both.data["total_gib"]) == (2, 11)
    assert (one.data["gpus"], one.data["total_gib"]) == (1, 24)
    assert both.data["needed_gib_estimate"] < 0.6 * one.data["needed_gib_estimate"]


def test_more_processes_than_gpus_are_rejected(kit, site, job, monkeypatch, refused):
    with_gpus(monkeypatch, 24)
    greedy = site.model_copy(update={"processes": 3})
    refused(check_gpu_memory(kit, greedy, job), "processes: 3", '"processes": "auto"')
    assert check_shared_memory(kit, greedy, job).status is Status.SKIPPED


@pytest.fixture
def cohort(dataset, job):
    return read_cohort(dataset, case_format=CASES)


def test_room_enough_is_well(kit, site, cohort, job, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(99 * GIB, 0, 99 * GIB))
    cache, workspace = check_disk(kit, site, cohort, job)
    assert (cache.status, workspace.status) == (Status.OK, Status.OK)
    assert workspace.data["free_gib"] == 99
    assert not site.cache_dir.exists()


@pytest.mark.parametrize(
    ("needed", "said"),
    [(0, "and nothing more is needed"), (GIB // 100, "less than 0.1 GiB"), (2 * GIB, "up to 2.0 GiB needed")],
)
def test_the_room_that_is_needed_is_never_said_to_be_none_of_a_gibibyte(needed, said):
    assert said in disk._need(needed)


def test_a_default_is_copied_before_it_is_edited():
    assert editable("local/resources.json") == "local/resources.json"
    first = "cp -p local/resources.json.default local/resources.json"
    assert editable("local/resources.json.default") == f"local/resources.json (first: {first})"


def test_a_small_disk_is_rejected(kit, site, cohort, job, monkeypatch, refused):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(99 * GIB, 99 * GIB, 1))
    cache, workspace = check_disk(kit, site, cohort, job)
    refused(cache, "0.0 GiB free", "choose a larger disk for cache_dir")
    refused(workspace, "(estimate)", "make room")


def test_a_full_cache_is_not_counted_twice(kit, site, cohort, job, monkeypatch):
    (site.cache_dir / "entry").mkdir(parents=True)
    (site.cache_dir / "entry" / "image.npy").write_bytes(bytes(2**20))
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: Usage(99 * GIB, 99 * GIB, 0))
    assert check_disk(kit, site, cohort, job)[0].status is Status.OK


def test_a_limit_below_the_cohort_s_need_warns(kit, site, cohort, job, refused):
    small = site.model_copy(update={"cache_gib": 1e-9})
    refused(check_disk(kit, small, cohort, job)[0], "cache_gib is 1e-09", "set cache_gib", Status.WARNING)


def test_a_folder_that_may_not_be_written_is_rejected(kit, site, cohort, job, monkeypatch, refused):
    monkeypatch.setattr(disk.os, "access", lambda *_: False)
    cache, workspace = check_disk(kit, site, cohort, job)
    refused(cache, "may not write to cache_dir", "let the account that runs FLARE write there")
    refused(workspace, "may not write to the kit's folder", "chown")


def test_without_a_cohort_there_is_nothing_to_estimate_from(kit, site, job):
    assert check_disk(kit, site, None, job)[0].status is Status.SKIPPED


def test_small_shared_memory_is_rejected_where_workers_need_it(kit, site, job, monkeypatch, refused):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: Usage(0, 0, 2**20))
    assert check_shared_memory(kit, site, job).status is Status.OK
    busy = site.model_copy(update={"loader_workers": 4})
    refused(check_shared_memory(kit, busy, job), "needed by 4 loader workers", "--shm-size")


def test_a_system_without_shared_memory_says_so(kit, site, job, monkeypatch):
    def missing(_):
        raise FileNotFoundError

    monkeypatch.setattr(machine.shutil, "disk_usage", missing)
    assert check_shared_memory(kit, site, job).status is Status.SKIPPED


@pytest.mark.parametrize(("answer", "status"), [("yes\n", Status.OK), ("no\n", Status.WARNING)])
def test_the_clock_is_what_the_system_says(monkeypatch, answer, status):
    monkeypatch.setattr(
        machine.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, answer, "")
    )
    assert check_clock().status is status


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.CalledProcessError(1, "timedatectl")])
def test_a_clock_that_can_t_be_known_is_not_called_right(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(machine.subprocess, "run", fails)
    finding = check_clock()
    assert finding.status is Status.SKIPPED
    assert "timedatectl" in finding.seen


def test_root_is_warned(monkeypatch, refused):
    monkeypatch.setattr(machine.os, "geteuid", lambda: 0)
    refused(check_account(), "runs as root", "make an account", Status.WARNING)
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1001)
    assert check_account().status is Status.OK
