"""`consilium train`: options that contradict each other, answered before anything starts."""

import pytest

JOB = "brain_tumor_fedavg"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "either --site NAME=DIR, once or several times, or --kit KIT"),
        (("--site", "a={data}", "--kit", "{data}"), "either --site"),
        (("--kit", "{data}", "--convention", "brats-2018"), "leave --evaluates, --convention"),
        (("--site", "a"), "'a' is not of the form NAME=DIR"),
        (("--site", "a={data}", "--evaluates", "b"), "no site is named b; named: a"),
        (("--site", "a={data}", "--convention", "brats-1999"), "known: brats-2015"),
        (("--site", "a={data}", "--set", "rounds=0"), "rounds"),
        (("--site", "a={data}", "--from", "{data}"), "holds no best_model.safetensors or model.safetensors"),
        (("--kit", "{data}"), "startup"),
    ],
)
def test_a_wrong_option_is_named(run, tmp_path, options, reason):
    data = tmp_path / "data"
    data.mkdir()
    words = [one.format(data=data) for one in options]
    code, out, err = run("train", JOB, "--out", tmp_path / "out", *words)
    assert (code, out) == (2, "")
    assert reason in err
    assert not (tmp_path / "out/result").exists()


def test_the_table_shows_both_models_with_what_they_are_of(run, hospital, tmp_path):
    for number in range(1, 7):
        hospital.brats(f"patient-{number}")
    small = ("rounds=2", "learning.local_steps=1", "learning.patch_voxels=16", "learning.spacing_mm=1")
    changes = [word for one in small for word in ("--set", one)]
    words = ("--site", f"north={hospital.folder}", "--min-patients", 1, "--threads", 1, *changes)
    code, out, err = run("train", JOB, "--out", tmp_path / "out", *words)
    assert (code, out.strip()) == (0, str(tmp_path / "out/result"))
    for text in ("mean Dice on test patients", "after round 2", "best (round", "local-only model, 1 site"):
        assert text in err
    assert "mueller" not in out + err


@pytest.mark.long
def test_a_job_with_noise_is_said_to_be_trained_without_it(run, hospital, tmp_path):
    for number in range(1, 7):
        hospital.brats(f"patient-{number}")
    small = ("rounds=1", "learning.local_steps=1", "learning.patch_voxels=16", "learning.spacing_mm=1")
    changes = [word for one in small for word in ("--set", one)]
    words = ("--site", f"north={hospital.folder}", "--min-patients", 1, "--threads", 1, *changes)
    code, _, err = run("train", "brain_tumor_dp_sgd", "--out", tmp_path / "private", *words)
    assert code == 0
    assert "the job's differential privacy is left out: this model is trained without noise" in err
    code, _, err = run("train", JOB, "--out", tmp_path / "plain", *words)
    assert code == 0
    assert "without noise" not in err
