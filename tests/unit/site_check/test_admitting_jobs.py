"""What a check says of a hospital that lacks something is what the site decides when it joins the job."""

import pytest
from data.hospital import Hospital

from consilium.data.codes import DataCode
from consilium.errors import SiteRefusal
from consilium.federation.site.start_participant import start_participant
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.demand import PrivacyDemand
from consilium.recipes.catalog import build_recipe, task_jobs
from consilium.recipes.training import TrainingSettings
from consilium.site_check.admitting_jobs import LACKS
from consilium.site_check.folder import check_folder
from consilium.site_check.job import load_site_job
from consilium.tasks import get_task

TASK = get_task("brain_tumor")
TARGETS = [one.name for one in TASK.targets]
JOBS = [name for name in task_jobs(TASK) if isinstance(build_recipe(name).settings, TrainingSettings)]
CHANGES = {"learning.patch_voxels": [16, 16, 16], "learning.spacing_mm": 1.0}
DROPOUT = {"learning.modality_dropout": 0.2}


def make_site(tmp_path, lacks):
    """A hospital of four patients that has agreed to do without an image or a target."""
    hospital = Hospital(tmp_path / "data")
    for name in ("A", "B", "C", "D"):
        hospital.brats(name, without=() if lacks in TARGETS else (lacks,))
    field = "missing_targets" if lacks in TARGETS else "missing_inputs"
    return SiteSettings(
        dataset=hospital.folder,
        cache_dir=tmp_path / "cache",
        state_dir=tmp_path / "site_state",
        min_training_patients=1,
        device="cpu",
        privacy=PrivacyDemand(updates_to_hospitals=True),
        **{field: (lacks,)},
    )


def join(site, job, tmp_path):
    """Return the code with which the site declines what it lacks; None if it joins, or declines for else."""
    try:
        start_participant(
            site,
            job.learning,
            job.algorithm,
            job="job",
            run="job",
            rounds=1,
            min_sites=2,
            name="north",
            local=tmp_path,
            progress=lambda *step: None,
            cancelled=lambda: False,
        ).close()
    except SiteRefusal as refusal:
        return refusal.code if refusal.code in LACKS else None
    return None


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "lacks",
    [
        pytest.param(one, marks=() if one in ("t1", "et") else pytest.mark.long)
        for one in (*TASK.inputs, *TARGETS)
    ],
)
def test_the_verdict_of_every_job_is_that_of_joining_it(tmp_path, lacks):
    site = make_site(tmp_path, lacks)
    declined = set()
    for name in JOBS:
        for changes in (CHANGES, CHANGES | DROPOUT):
            job = load_site_job(name, changes=changes)
            found = check_folder(
                site.dataset,
                job,
                state=tmp_path / "state",
                missing_inputs=site.missing_inputs,
                missing_targets=site.missing_targets,
            )
            codes = {one.code for one in found.findings}
            assert (DataCode.JOB_DECLINED in codes) == (join(site, job, tmp_path) is not None), name
            assert (found.verdict == "ready") == (DataCode.JOB_DECLINED not in codes), name
            if DataCode.JOB_DECLINED in codes:
                declined.add((name, "learning.modality_dropout" in changes))
    sums = {("brain_tumor_fedavg_secagg", False), ("brain_tumor_fedavg_secagg", True)}
    assert declined == (sums if lacks in TARGETS else {(name, False) for name in JOBS})


@pytest.mark.long
@pytest.mark.parametrize("lacks", ["t1", "et"])
def test_what_a_declined_check_names_takes_the_hospital(tmp_path, lacks):
    site = make_site(tmp_path, lacks)
    found = check_folder(
        site.dataset,
        load_site_job("brain_tumor_fedavg_secagg"),
        state=tmp_path / "state",
        missing_inputs=site.missing_inputs,
        missing_targets=site.missing_targets,
    )
    (said,) = (one.detail for one in found.findings if one.code is DataCode.JOB_DECLINED)
    named = [name for name in JOBS if f" {name}," in said or f" {name}." in said]
    assert named
    assert ("learning.modality_dropout above 0" in said) == (lacks == "t1")
    for name in named:
        job = load_site_job(name, changes=CHANGES | (DROPOUT if lacks == "t1" else {}))
        assert join(site, job, tmp_path) is None, name
