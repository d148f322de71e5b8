"""What holds for every command: wrong input, interrupts, folders that can't be written."""

import errno
import os
from importlib.metadata import version

import pytest

from consilium.cli import main as module
from consilium.recipes.catalog import CATALOG
from consilium.simulation import demo
from consilium.tasks.brain_tumor.synthetic.hospitals import BrainTumorHospitals

JOB = "brain_tumor_fedavg"


def test_the_version_is_that_of_the_package_and_of_what_its_numbers_depend_on(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.splitlines()[0] == f"consilium {version('consilium')}"
    assert all(f"{name} {version(name)}" in out for name in ("nvflare", "monai", "torch"))


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_can_complete_commands(run, monkeypatch, shell):
    monkeypatch.setenv("_CONSILIUM_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "consilium che")
    monkeypatch.setenv("COMP_WORDS", "consilium che")
    monkeypatch.setenv("COMP_CWORD", "1")
    _, out, _ = run("che")
    assert "check-site" in out


def test_the_list_of_jobs_says_what_each_does(run):
    code, out, _ = run("jobs", "list")
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == list(CATALOG)
    assert all(line.split("\t")[1] for line in out.splitlines())
    assert "brain_tumor_fedavg_gpu\tsegresnet, 1 mm, 100 rounds, at least 2 sites" in out


def test_an_exported_job_s_folder_is_the_only_thing_on_standard_output(run, tmp_path):
    code, out, err = run("jobs", "export", JOB, "--to", tmp_path, "--set", "rounds=3")
    assert (code, err) == (0, "")
    assert out.split() == [str(tmp_path / JOB)]
    assert (tmp_path / JOB / "meta.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("jobs", "export", "nnunet"), ["'nnunet'", "known: brain_tumor_fedavg", "consilium jobs list"]),
        (("jobs", "export", JOB, "--set", "rouns=3"), ["rouns", "did you mean 'rounds'?"]),
        (("jobs", "export", JOB, "--set", "learning.sed=3"), ["did you mean 'seed'?"]),
        (("jobs", "export", JOB, "--set", "rounds"), ["'rounds'", "KEY=VALUE", "seed=3"]),
        (("jobs", "export", JOB, "--set", "rounds=[1"), ["KEY=VALUE"]),
        (("cohort", "c", "--set", "tumor_mix.small=.inf"), ["tumor_mix.small", "allowed: 1000000.0 or less"]),
        (("cohort", "c", "--set", "size=99999x99999x99999"), ["grid.shape.0", "allowed: 512 or less"]),
        (("jobs", "export", "--set", "rounds=3"), ["--set", "consilium jobs export brain_tumor_fedavg"]),
    ],
)
def test_wrong_input_is_answered_with_what_is_allowed_and_what_to_type(
    run, tmp_path, monkeypatch, arguments, reported
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    for text in reported:
        assert text in err
    assert not list(tmp_path.iterdir())  # nothing was started


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "export", JOB, "--to"),
        ("cohort", "--set", "hospitals.a=brats2021:1"),
        ("demo", "--out"),
        ("poc", "up", "--out"),
        ("poc", "run", "--out"),
    ],
)
@pytest.mark.parametrize("place", ["file/below", "file/below/more"])
def test_a_folder_that_can_t_be_written_is_named_before_anything_starts(run, tmp_path, arguments, place):
    (tmp_path / "file").touch()
    code, out, err = run(*arguments, tmp_path / place)
    assert (code, out) == (2, "")
    assert f"{tmp_path / place} can't be written" in err
    assert "choose another" in err


def test_what_the_system_refuses_later_is_no_fault_of_the_program(run, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", str(tmp_path / "model.bin"))

    monkeypatch.setattr(BrainTumorHospitals, "make", full)
    code, out, err = run("demo", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert f"error: {tmp_path / 'model.bin'}: No space left on device" in err


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),  # as of a write into an open file
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        OSError("1048576 requested and 40960 written"),  # numpy's have no number
        OSError("Not enough free space to write 35684352 bytes after offset 128"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_program_where_the_system_names_no_file(
    run, tmp_path, monkeypatch, error
):
    def full(*arguments, **options):
        raise error

    monkeypatch.setattr(BrainTumorHospitals, "make", full)
    code, _, err = run("demo", "--out", tmp_path)
    assert code == 2
    assert "error: the disk written to: " in err
    assert "free it, or name another folder" in err


def test_missing_options_and_unknown_commands_are_wrong_input_too(run):
    assert run("simulate", "job")[0] == 2
    assert run("simulte")[0] == 2


@pytest.mark.parametrize("where", ["inside a command", "around"])
def test_an_interrupt_says_that_nothing_runs_on_and_how_to_resume(run, monkeypatch, where):
    def interrupted(*_):
        raise KeyboardInterrupt

    target, name = (module, "_commands") if where == "around" else (demo, "run_demo")
    monkeypatch.setattr(target, name, interrupted)
    code, _, err = run("demo")
    assert code == 130
    assert "nothing runs on" in err
    assert "same command" in err


def test_what_a_command_writes_only_the_user_can_read(run, tmp_path):
    os.umask(0)  # the tests' own comes back afterwards
    assert run("jobs", "export", JOB, "--to", tmp_path / "made" / "jobs")[0] == 0
    written = [tmp_path / "made", *(tmp_path / "made").rglob("*")]
    assert any(path.name == "config_fed_client.json" for path in written)
    assert [path for path in written if path.stat().st_mode & 0o077] == []
