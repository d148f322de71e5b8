import importlib
import inspect
import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
import typer

from consilium.cli import main as module
from consilium.cli.main import main
from consilium.cli.options import CONVENTIONS_HELP
from consilium.recipes.catalog import CATALOG, build_recipe, export_job
from consilium.simulation import demo
from consilium.tasks.brain_tumor.labels import LabelConvention
from consilium.tasks.brain_tumor.synthetic.hospitals import BrainTumorHospitals

JOB = "brain_tumor_fedavg"


@pytest.fixture
def run(monkeypatch, capsys):
    """Type a command; returns exit code, standard output and standard error."""

    def run(*arguments, columns=200):
        monkeypatch.setattr(sys, "argv", ["consilium", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def hospitals(tmp_path):
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    job = export_job(build_recipe(JOB), tmp_path / "jobs")
    return {"job": job, "north": tmp_path / "north", "south": tmp_path / "south", "out": tmp_path / "out"}


@pytest.mark.parametrize("command", [("simulate",), ("cohort",), ("jobs", "export")])
def test_help_has_an_example_of_the_command(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"$ consilium {' '.join(command)} " in out


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


def every_command(command=None, path=()):
    command = command or typer.main.get_command(module.app)
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*path, name))


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_examples_can_be_pasted_from_a_terminal_of_80_columns(run, command):
    code, out, _ = run(*command, "--help", columns=80)
    assert code == 0
    lines = [line.strip() for line in out[out.rindex("╯") + 1 :].splitlines()]
    for paragraph in "\n".join(lines).strip().split("\n\n"):
        *others, last = paragraph.splitlines() or [""]
        if paragraph.startswith("$ "):
            assert all(line.endswith("\\") for line in others)
            assert not last.endswith("\\")
        else:  # the terminal broke it, not we: no line has room for the next word
            following = [*others, last][1:]
            assert all(len(f"{a} {b.split()[0]}") > 78 for a, b in zip(others, following, strict=True))


@pytest.mark.parametrize("command", [("demo",), ("simulate",), ("poc", "run"), ("jobs", "export")])
def test_no_sentence_of_the_help_breaks_in_the_middle_of_a_line(run, command):
    code, out, _ = run(*command, "--help")  # 200 columns
    assert code == 0
    described = out[: out.index("╭")]
    lines = [line.strip() for line in described.splitlines() if line.strip()]
    assert [line for line in lines if line[-1] not in ".:]}" and len(line) < 150] == []


@pytest.mark.parametrize(
    ("command", "purpose"),
    [
        ((), "no image leaves any of them"),
        (("demo",), "four synthetic hospitals, one job, one report"),
        (("simulate",), "Run a job on folders of cases"),
        (("cohort",), "Make synthetic hospitals"),
        (("jobs",), "List and write the jobs"),
        (("jobs", "list"), "List the jobs"),
        (("jobs", "export"), "Write a job's folder"),
    ],
)
def test_every_command_says_what_it_does(run, command, purpose):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert purpose in out


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
    ("arguments", "told"),
    [
        (("jobs", "export", "nnunet"), ["'nnunet'", "known: brain_tumor_fedavg", "consilium jobs list"]),
        (("jobs", "export", JOB, "--set", "rouns=3"), ["rouns", "did you mean 'rounds'?"]),
        (("jobs", "export", JOB, "--set", "learning.sed=3"), ["did you mean 'seed'?"]),
        (("jobs", "export", JOB, "--set", "rounds"), ["'rounds'", "KEY=VALUE", "seed=3"]),
        (("jobs", "export", JOB, "--set", "rounds=[1"), ["KEY=VALUE"]),
        (("jobs", "export", "--set", "rounds=3"), ["--set", "consilium jobs export brain_tumor_fedavg"]),
    ],
)
def test_wrong_input_is_answered_with_what_is_allowed_and_what_to_type(
    run, tmp_path, monkeypatch, arguments, told
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    for text in told:
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


def test_help_names_every_label_convention():
    assert re.split(", | or ", CONVENTIONS_HELP) == [one.value for one in LabelConvention]


@pytest.mark.parametrize("command", ["", "check", "simulate", "poc run"])
def test_help_is_there_at_once(command):
    """CPU time, which other work on the machine does not change; importing torch alone takes a second."""
    line = f"import sys; sys.argv = ['consilium', *{command.split()}, '--help']; "
    line += "from consilium.cli.main import main; main()"
    before = os.times().children_user + os.times().children_system
    subprocess.run([sys.executable, "-c", line], check=True, stdout=subprocess.DEVNULL)
    assert os.times().children_user + os.times().children_system - before < 0.8


@pytest.mark.parametrize(
    "command",
    ["demo", "simulate", "check", "check_site", "poc.up", "poc.submit", "poc.run", "status", "report"],
)
def test_no_command_loads_what_takes_seconds_before_it_says_so(command):
    """Everything heavy is imported in a command, below the line that says what is loaded."""
    module, _, name = command.partition(".")
    source = inspect.getsource(
        getattr(
            importlib.import_module(f"consilium.cli.{module}"), name or module.replace("status", "_show_jobs")
        )
    )
    shown = re.search(r"show\(LOADING\)|loading\(", source)
    assert shown
    before = re.findall(r"from (consilium\.[\w.]+) import", source[: shown.start()])
    assert set(before) <= {"consilium.simulation.display", "consilium.cli.report"}


def test_a_home_folder_is_meant_behind_an_equals_sign_too(run, hospitals, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ("--site", "north=~/north", "--site", "south=~/gone", "--out", hospitals["out"])
    code, _, err = run("simulate", hospitals["job"], *options)
    assert code == 2
    assert f"{tmp_path}/gone is not a folder" in err


@pytest.mark.parametrize(
    ("sites", "told"),
    [
        (["north", "south={south}"], ["'north'", "NAME=DIR"]),
        (["north=", "south={south}"], ["'north='", "NAME=DIR"]),
        (["no/rth={north}", "south={south}"], ["no/rth", "letters from A to Z, digits"]),
        (["../north={north}", "south={south}"], ["letters from A to Z, digits"]),
        (["north={north}", "north={south}"], ["--site north is given twice", "{north}", "{south}"]),
        (["north={north}", "south={north}/gone"], ["site south", "{north}/gone is not a folder"]),
        (["north={north}"], ["two sites or more", "1 is given", "--site NAME=FOLDER"]),
    ],
)
def test_wrong_sites_are_answered_before_anything_starts(run, hospitals, sites, told):
    options = [text for site in sites for text in ("--site", site.format(**hospitals))]
    code, out, err = run("simulate", hospitals["job"], *options, "--out", hospitals["out"])
    assert (code, out) == (2, "")
    for text in told:
        assert text.format(**hospitals) in err
    assert not hospitals["out"].exists()


@pytest.mark.parametrize(
    ("name", "option", "told"),
    [
        ("brain_tumor_check", ("--compare",), "trains nothing: leave --compare out"),
        ("brain_tumor_stats", ("--compare",), "trains nothing: leave --compare out"),
        ("brain_tumor_check", ("--local-only",), "trains nothing: leave --local-only out"),
        ("brain_tumor_stats", ("--evaluates", "north"), "leave --evaluates out"),
    ],
)
def test_a_job_that_only_asks_takes_no_option_of_training(run, hospitals, tmp_path, name, option, told):
    job = export_job(build_recipe(name), tmp_path / "jobs")
    sites = [word for site in ("north", "south") for word in ("--site", f"{site}={hospitals[site]}")]
    code, out, err = run("simulate", job, *sites, "--out", hospitals["out"], *option)
    assert (code, out) == (2, "")
    assert told in err
    assert not hospitals["out"].exists()


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (("--convention", "east=brats-2018"), "no site is named east; named: north, south"),
        (("--convention", "brats-1999"), "known: brats-2015"),
        (("--file-ending", "t1ce"), "KIND=ENDING"),
    ],
)
def test_conventions_and_endings_are_checked_before_anything_starts(run, hospitals, option, told):
    sites = [word for site in ("north", "south") for word in ("--site", f"{site}={hospitals[site]}")]
    code, _, err = run("simulate", hospitals["job"], *sites, "--out", hospitals["out"], *option)
    assert code == 2
    assert told in err
    assert not hospitals["out"].exists()


def test_an_unknown_evaluator_names_the_sites(run, hospitals):
    code, _, err = run(
        "simulate", hospitals["job"], "--site", f"north={hospitals['north']}", "--site",
        f"south={hospitals['south']}", "--evaluates", "suoth", "--out", hospitals["out"],
    )  # fmt: skip
    assert code == 2
    assert "no site is named suoth; named: north, south" in err


def test_a_folder_that_is_no_job_says_where_jobs_come_from(run, hospitals):
    code, _, err = run(
        "simulate", hospitals["north"], "--site", "a=x", "--site", "b=y", "--out", hospitals["out"]
    )
    assert code == 2
    assert f"{hospitals['north']} is not a FLARE job" in err
    assert "consilium jobs export NAME" in err


def test_missing_options_and_unknown_commands_are_wrong_input_too(run):
    assert run("simulate", "job")[0] == 2
    assert run("simulte")[0] == 2


@pytest.mark.parametrize("where", ["inside a command", "around"])
def test_an_interrupt_says_that_nothing_runs_on_and_how_to_go_on(run, monkeypatch, where):
    def interrupted(*_):
        raise KeyboardInterrupt

    target, name = (module, "tidy_help") if where == "around" else (demo, "run_demo")
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
