"""No other account of the machine can open what is written here, under whatever umask."""

import ast
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.conftest import write_model
from data.hospital import Hospital
from federation.flare import Engine
from federation.readiness import readiness
from learning.tiny import site
from nvflare.apis.job_def import new_job_id
from report.study import SECONDS, federation
from sources import PACKAGE, modules, nodes, place_of
from tasks.segmentation.test_pictures import phantom

from consilium.bundle.writer import write_bundle
from consilium.data.cache import CaseCache
from consilium.data.checks import check_cohort
from consilium.data.cohort import Cohort, read_cohort
from consilium.data.cohort_pass import process_cases
from consilium.data.files import OTHERS
from consilium.data.sources import SourceIndex
from consilium.federation.monitoring.job_outcomes import save_outcome
from consilium.federation.site.training_folder import training_folder
from consilium.federation.transport.arrival import DiskArrival
from consilium.federation.updates.spool import UpdateSpool
from consilium.guard.private_files import PrivateLogHandler
from consilium.learning.checkpoints import CheckpointStore
from consilium.participant.site_data import prepare_site
from consilium.poc.project import Project
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.records.progress import Ended, JobProgress
from consilium.records.site_status import SiteStatus
from consilium.report.training.build import build_report
from consilium.report.write import write_report
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.brain_tumor.task import BrainTumor
from consilium.tasks.case_statistics import KeptStatistics
from consilium.tasks.segmentation.pictures import render_patient
from consilium.tasks.segmentation.regions import to_regions

PREPROCESSING = CASES.preprocessing(1.0)
RUN = new_job_id()
WEIGHTS = {"w": np.ones(3, np.float32)}


def cohort(folder: Path) -> Cohort:
    """One patient, in a folder that the hospital has opened to all: that is its own affair."""
    hospital = Hospital(folder.parent / "dataset")
    hospital.brats("Doe-Jane")
    return read_cohort(hospital.folder, case_format=CASES)


def cache(folder: Path) -> None:
    CaseCache(folder, case_format=CASES, settings=PREPROCESSING).prepare(cohort(folder))


def checks(folder: Path) -> None:
    check_cohort(cohort(folder), case_format=CASES, folder=folder)


def checks_then_cache(folder: Path) -> None:
    checks(folder)
    cache(folder)


def statistics(folder: Path) -> None:
    process_cases(
        cohort(folder),
        (KeptStatistics(folder, "brain_tumor", get_task("brain_tumor").statistics),),
        case_format=CASES,
        index=SourceIndex(folder),
    )


def prepared_site(folder: Path) -> None:
    settings = site(folder.parent / "hospital", ["P1", "P2", "P3"])
    learning = BrainTumorSettings(patch_voxels=(16, 16, 16), spacing_mm=1.0)
    prepare_site(settings.model_copy(update={"cache_dir": folder}), learning)


def one_training(folder: Path) -> None:
    memory = training_folder(folder, RUN)
    assert memory is not None
    CheckpointStore(memory).save(1, {"model": WEIGHTS}, {})


def checkpoints(folder: Path) -> None:
    CheckpointStore(folder / "job").save(1, {"model": WEIGHTS}, {})


def spool(folder: Path) -> None:
    UpdateSpool(folder / "updates").keep("north", WEIGHTS)


def arrival(folder: Path) -> None:
    DiskArrival.allocate(10, folder / "arrivals").write(0, b"x")


def site_status(folder: Path) -> None:
    SiteStatus(job_id="job", job="name", log="log.txt", since=0.0, updated=0.0).save(folder)


def outcome(folder: Path) -> None:
    engine = Engine(folder.parent / "server")
    save_outcome(engine.context, JobProgress(started=0.0, ended=Ended(kind="success", reasons=[], time=0.0)))
    (engine.local.parent / "consilium").rename(folder)


def readiness_record(folder: Path) -> None:
    readiness().save(folder / "readiness.json")


def study_report(folder: Path) -> None:
    build_report(folder, federation(), baselines=None, seconds=SECONDS, patients={})


def readiness_report(folder: Path) -> None:
    write_report(folder, readiness())


def patient_picture(folder: Path) -> None:
    case = phantom(folder.parent / "entry")
    assert case.reference is not None
    found = to_regions(torch.from_numpy(np.array(case.reference)), BrainTumor.targets)
    render_patient(case, found, BrainTumor.targets, folder / "a.png", shown={0: "T1", 1: "T2"}, title="a")


def logs(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    path = folder / "log.txt"
    path.write_text("of an earlier version\n")
    handler = PrivateLogHandler(path, maxBytes=1, backupCount=2)
    for _ in range(3):
        handler.doRollover()
    handler.close()


def bundle(folder: Path) -> None:
    write_bundle(write_model(folder.parent / "entry/model.safetensors"), folder)


def poc_project(folder: Path) -> None:
    project = Project.read(PACKAGE.parents[1] / "poc" / "project.yml")
    project.write(folder / "project.yml")


WRITERS: Mapping[str, Callable[[Path], None]] = {
    writer.__name__: writer
    for writer in (
        cache, checks, checks_then_cache, statistics, prepared_site, one_training, checkpoints, spool,
        arrival, site_status, outcome, readiness_record, study_report, readiness_report, patient_picture,
        logs, poc_project, bundle,
    )
}  # fmt: skip


@pytest.fixture(params=[0o000, pytest.param(0o022, marks=pytest.mark.long)], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_its_owner_s(umask, tmp_path, name):
    folder = tmp_path / "made" / "folder"
    folder.parent.mkdir(mode=0o700)
    WRITERS[name](folder)
    written = [folder, *folder.rglob("*")]
    assert len(written) > 1
    assert {
        path: oct(mode) for path in written if (mode := stat.S_IMODE(path.lstat().st_mode)) & OTHERS
    } == {}


def test_the_entries_of_an_earlier_version_are_closed_when_they_are_used(umask, tmp_path):
    folder = tmp_path / "cache"
    cache(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    cache(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755  # a person may have made it, for more than this
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


@pytest.mark.usefixtures("without_drawings")
def test_a_folder_that_a_person_names_for_a_report_or_a_job_keeps_its_mode(umask, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o755)
    study_report(home)
    export_job(build_recipe("brain_tumor_fedavg"), home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


OPEN_BY_DESIGN = {
    "data/files.py": "makes private folders",
    "tasks/segmentation/bundle/transforms.py": "runs in MONAI, whose user's umask decides, without Consilium",
    "tasks/brain_tumor/synthetic": "no patients; they stand for the hospitals' own folders",
    "federation/site/training_folder.py": "an empty file in a private folder",
    "federation/updates/spool.py": "safetensors makes its own files private, and the folder is",
    "provisioning/runtimes/docker_compose.py": "writes into a kit, which is closed as a whole",
    "provisioning/kit_versions.py": "writes into a kit, which is closed as a whole",
    "provisioning/policy.py": "writes into a kit, which is closed as a whole, or a private simulation",
    "provisioning/start_scripts.py": "changes scripts that are closed with their kit",
    "provisioning/runtimes": "changes a copy of a kit in a private folder; it is closed as a whole",
}
MAKERS = {"mkdir", "makedirs", "write_text", "write_bytes", "touch", "mkfifo", "save_file", "tofile"}


def test_nothing_is_written_past_the_functions_that_keep_it_private():
    """A new `mkdir` or `write_text` has the mode that the umask gives: use `consilium.data.files`."""
    found = {
        f"{place_of(path)}:{call.lineno}"
        for path in modules()
        for call in nodes(path)
        if isinstance(call, ast.Call) and _makes_a_file(call)
    }
    assert sorted(one for one in found if not one.startswith(tuple(OPEN_BY_DESIGN))) == []


def _makes_a_file(call: ast.Call) -> bool:
    """Whether it makes a file or a folder by its path; what writes to an open file does not."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    of_numpy = name in ("save", "savez") and ast.unparse(call.func) in ("np.save", "np.savez")
    if name == "savefig" or of_numpy:
        return not (isinstance(call.args[0], ast.Name) and call.args[0].id in ("file", "content"))
    if name == "open":
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        modes = [mode for mode in modes if isinstance(mode, str) and set(mode) <= set("rwaxbt+")]
        writes = any(set(mode) & set("wax+") for mode in modes)
        return writes and not any(keyword.arg == "opener" for keyword in call.keywords)
    return name in MAKERS
