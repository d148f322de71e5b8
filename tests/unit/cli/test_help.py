"""The help of every command: purposes, examples, and that it is there at once."""

import importlib
import inspect
import re
import subprocess
import sys

import pytest
import typer

from consilium.cli import main as module


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("command", [("simulate",), ("cohort",), ("jobs", "export")])
def test_help_has_an_example_of_the_command(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"$ consilium {' '.join(command)} " in out


@pytest.mark.parametrize("command", ["train", "simulate"])
def test_help_states_that_models_to_compare_with_have_no_noise(run, command):
    code, out, _ = run(command, "--help")
    assert code == 0
    assert re.search(r"without\s+(the\s+)?noise", re.sub(r"[\s│]+", " ", out))


def every_command(command=None, path=()):
    command = command or typer.main.get_command(module.app)
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*path, name))


@pytest.mark.quick_cases(7)
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


OF_A_TASK = re.compile(
    r"brain|tumou?r|brats|voxel|modalit|\b(t1\w*|flair|dice|mm|ml|slices?|patch(es)?|scans?)\b", re.I
)


@pytest.mark.quick_cases(7)
@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_help_speaks_of_no_task_s_images_but_by_the_names_of_jobs(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert OF_A_TASK.findall(re.sub(r"brain_tumor\w*", "", out)) == []


SECONDS_TO_IMPORT = {"torch", "monai", "nvflare", "scipy", "nibabel", "matplotlib", "pandas", "opacus"}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("command", ["", "check", "simulate", "poc run"])
def test_help_is_there_at_once(command):
    """Importing any of these takes longer than a person waits for help."""
    program = f"import sys; sys.argv = ['consilium', *{command.split()}, '--help']\n"
    program += "from consilium.cli.main import main\ntry:\n    main()\n"
    program += "except SystemExit as ended:\n    assert not ended.code\n"
    program += "print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "Usage" in ended.stdout
    assert SECONDS_TO_IMPORT & {*ended.stderr.split()} == set()


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "simulate",
        "check",
        "check_site",
        "poc.up",
        "poc.submit",
        "poc.run",
        "status",
        "report",
        "privacy",
    ],
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
