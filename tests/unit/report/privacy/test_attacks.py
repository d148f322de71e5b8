"""The figures of attacks on the page: the nearest that are no safer than the job."""

from dataclasses import replace

import pytest

from consilium.privacy.promise import PrivacyPromise
from consilium.report.privacy.attacks import (
    AttackResult,
    AttackResults,
    attacks_like,
    describe_attacks,
    measured_attacks,
)
from consilium.report.privacy.facts import SiteFacts, TrainingFacts

JOB = TrainingFacts(rounds=5, min_sites=3, batch_size=2, local_steps=8, local_epochs=None)
SITE = SiteFacts(min_update_patients=4)


def figure(patients=1, steps=1, value=0.5, **fields):
    return AttackResult(
        attack="inversion",
        patients=patients,
        steps=steps,
        measure="SSIM",
        value=value,
        worse_is="higher",
        **fields,
    )


def chosen(*results, job=JOB, site=SITE):
    return attacks_like(job, site, AttackResults(command="measure", results=results))


def test_the_nearest_figure_that_is_no_safer_is_shown():
    near, mild, far = figure(4, 8), figure(8, 40), figure(1, 1)
    assert chosen(mild, far, near) == (near,)
    assert chosen(mild, far) == (far,)


def test_where_every_figure_is_safer_than_the_job_the_least_safe_one_is_shown():
    assert chosen(figure(100, 400), figure(8, 40)) == (figure(8, 40),)


def test_a_figure_without_noise_is_never_shown_for_a_job_with_noise_nor_the_other_way_round():
    noisy = replace(JOB, promise=PrivacyPromise(epsilon=8.0))
    assert chosen(figure(), job=noisy) == ()
    assert chosen(figure(epsilon=8.0)) == ()
    weaker, stronger = figure(epsilon=50.0), figure(epsilon=1.0)
    assert chosen(stronger, weaker, job=noisy) == (weaker,)


def test_a_sum_counts_only_for_a_job_whose_server_sees_sums():
    single, of_three = figure(), figure(sites=3)
    assert chosen(of_three, single) == (single,)
    assert chosen(single, of_three, job=replace(JOB, promise=PrivacyPromise(secure_aggregation=True))) == (
        of_three,
    )


def test_each_attack_and_measure_has_a_figure_and_a_compressed_update_has_none():
    other = figure().model_copy(update={"measure": "PSNR"})
    assert chosen(figure(), other) == (figure(), other)
    assert chosen(figure(compressed=True)) == ()


def test_a_figure_is_said_with_what_guessing_reaches_and_the_command():
    figures = (figure(value=0.731, chance=0.1),)
    measured = AttackResults(command="python benchmarks/leakage.py", results=figures)
    said = list(describe_attacks(JOB, SITE, measured))
    assert "at least 4 patients and 8 steps" in said[0]
    assert "Inversion, 1 patient, 1 step, no noise: SSIM 0.73 (higher is worse for the patient" in said[1]
    assert "guessing reaches 0.1" in said[1]
    assert "“python benchmarks/leakage.py”" in said[2]


@pytest.mark.parametrize(
    "job", [JOB, replace(JOB, promise=PrivacyPromise(epsilon=1.0)), replace(JOB, local_steps=None)]
)
def test_the_figures_that_come_with_this_version_can_be_read(job):
    assert list(describe_attacks(job, SITE, measured_attacks()))
