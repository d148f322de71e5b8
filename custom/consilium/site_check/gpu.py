"""Check of the site's GPUs: their number and memory."""

from __future__ import annotations

from typing import Any

import torch
from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.fuel.utils.gpu_utils import get_host_gpu_ids, get_host_gpu_memory_total

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.learning.estimate import GIB, gpu_bytes
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit, editable
from consilium.records.texts import clean_text
from consilium.site_check.finding import SiteCheck, SiteFinding
from consilium.site_check.job import SiteJob

CAPACITY = SiteCheck("machine.gpus", "GPUs as declared")
GPU_MEMORY = SiteCheck("machine.gpu_memory", "GPU memory for the job")

_RESOURCES = WorkspaceConstants.RESOURCES_CONFIG
_MANAGER = "resource_manager"
_MOST_SHOWN = 200
"""Characters of another program's error."""


def check_capacity(kit: Kit, job: SiteJob) -> SiteFinding:
    """Check the GPUs declared in `local/resources.json` against those there and those that a job asks for."""
    name = kit.policy_file(_RESOURCES) or f"local/{_RESOURCES}"
    try:
        declared, memory = _declared(kit.read_json(name))
    except (ConfigurationError, TypeError, ValueError) as error:
        return CAPACITY.skipped(f"{name} does not say how many: {error}")
    if kit.runtime != "process":
        return CAPACITY.skipped(f"this kit is for {kit.runtime}, which counts its GPUs itself")
    edited = editable(name)
    try:
        present = [mib / 1024 for mib in get_host_gpu_memory_total()] if get_host_gpu_ids() else []
    except Exception as error:  # noqa: BLE001 - what FLARE raises where nvidia-smi fails or names no memory
        if declared:
            return CAPACITY.failed(
                f"{declared} declared in {name}, and FLARE can't use what nvidia-smi answers "
                f"({clean_text(str(error))[:_MOST_SHOWN]}): FLARE would not start",
                "try: nvidia-smi; if it fails after an update of the driver, restart the machine; else let "
                f"num_of_gpus of the {_MANAGER} in {edited} be 0",
            )
        present = []  # FLARE asks nvidia-smi only for GPUs that are declared
    data = {"declared": declared, "present": len(present), "asked_for": job.gpus_at(kit.site_name)}
    seen = f"{declared} declared in {name}, {len(present)} seen by nvidia-smi"
    if declared > len(present):
        return CAPACITY.failed(
            f"{seen}: FLARE would not start",
            f"try: nvidia-smi; then fix the driver, or set num_of_gpus of the {_MANAGER} in {edited} to "
            f"{len(present)}",
            data=data,
        )
    if declared and memory > min(present[:declared]):
        return CAPACITY.failed(
            f"{seen}; {memory:g} GiB a GPU declared, the smallest has {min(present[:declared]):.1f}: FLARE "
            "would not start",
            f"set mem_per_gpu_in_GiB of the {_MANAGER} in {edited} to {int(min(present[:declared]))}",
            data=data,
        )
    wanted = job.gpus_at(kit.site_name)
    if wanted > declared:
        return CAPACITY.failed(
            f"{seen}; job {job.name} asks for {wanted}: it would never be scheduled here",
            f"if this machine has them, set num_of_gpus of the {_MANAGER} in {edited} to {wanted}; else ask "
            "the lead data scientist for a job that needs fewer",
            data=data,
        )
    wanted_memory = job.gpu_memory_at(kit.site_name)
    if wanted and wanted_memory > memory:
        return CAPACITY.failed(
            f"{seen}; job {job.name} asks for {wanted_memory:g} GiB a GPU and {memory:g} are declared: it "
            "would never be scheduled here",
            f"set mem_per_gpu_in_GiB of the {_MANAGER} in {edited} to what nvidia-smi shows, in GiB",
            data=data,
        )
    return CAPACITY.ok(f"{seen}; job {job.name} asks for {wanted}", data=data)


def _declared(resources: dict[str, Any]) -> tuple[int, float]:
    """GPUs, and GiB of each, in a site's resources; none if no resource manager counts them."""
    for component in resources.get("components", []):
        if component.get("id") == _MANAGER:
            arguments = component.get("args", {})
            return int(arguments.get("num_of_gpus", 0)), float(arguments.get("mem_per_gpu_in_GiB", 0))
    return 0, 0.0


def check_gpu_memory(kit: Kit, site: SiteSettings, job: SiteJob) -> SiteFinding:
    """Check the memory of the GPU that a job would use against an estimate of what a training step takes."""
    gpus_wanted = job.gpus_at(kit.site_name)
    if site.device == "cpu" and gpus_wanted:
        return GPU_MEMORY.failed(
            f"job {job.name} asks for {counted(gpus_wanted, 'GPU')}, but local/privacy.json sets the "
            "device to cpu",
            'set "device": "auto" in local/privacy.json',
        )
    if site.device == "cpu":
        return GPU_MEMORY.skipped("local/privacy.json sets the device to cpu")
    if site.device == "auto" and not gpus_wanted and not torch.cuda.is_available():
        return GPU_MEMORY.skipped(f"torch sees no GPU: job {job.name} would train on the CPU, which it may")
    if gpus_wanted and ":" in site.device:
        return GPU_MEMORY.failed(
            f"job {job.name} asks for {counted(gpus_wanted, 'GPU')}, which FLARE chooses, and it shows the "
            f"job no others; local/privacy.json sets the device to {site.device!r}",
            'set "device": "auto" in local/privacy.json',
        )
    first, count = int(site.device.partition(":")[2] or 0), torch.cuda.device_count()
    if first >= count:
        return GPU_MEMORY.failed(
            f"torch sees {counted(count, 'CUDA device')}; device {site.device!r} needs {first + 1}",
            "try: nvidia-smi; then fix the driver, or install the build of torch that fits it",
        )
    try:
        processes = job.processes_at(kit.site_name, site)
    except ConfigurationError as error:
        return GPU_MEMORY.failed(str(error), 'set "processes": "auto" in local/privacy.json')
    return _evaluate_memory(job, range(first, first + processes))


def _evaluate_memory(job: SiteJob, devices: range) -> SiteFinding:
    """Compare the smallest of the devices, one for each training process, with what a step takes."""
    needed = gpu_bytes(job.share_of_process(len(devices))) / GIB
    total = min(torch.cuda.get_device_properties(index).total_memory for index in devices) / GIB
    data = {"needed_gib_estimate": round(needed, 2), "total_gib": round(total, 2), "gpus": len(devices)}
    seen = (
        f"{total:.1f} GiB on the smallest of {counted(len(devices), 'GPU')}; job {job.name} takes about "
        f"{needed:.1f} "
        "GiB on each (estimate: network and batch at float32)"
    )
    if total < needed:
        return GPU_MEMORY.failed(
            seen,
            "use a larger GPU, or ask the lead data scientist for smaller samples or a smaller batch_size",
            data=data,
        )
    return GPU_MEMORY.ok(seen, data=data)
