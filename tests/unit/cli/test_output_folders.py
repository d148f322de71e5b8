"""Folders for results: no command writes into a folder of somebody's own."""

import pytest
import typer
from federation.readiness import readiness
from prediction.conftest import one_layer, write_case, write_model

from consilium.cli.main import app
from consilium.records.readiness import READINESS_FILE

__all__ = ["one_layer"]

JOB = "brain_tumor_fedavg"
COMMANDS = {
    "cohort": ["cohort", "OUT"],
    "evaluate": ["evaluate", "-m", "MODEL", "CASES", "-o", "OUT"],
    "predict": ["predict", "-m", "MODEL", "-i", "CASES", "-o", "OUT"],
    "bundle": ["bundle", "MODEL", "-o", "OUT"],
    "train": ["train", JOB, "--site", "north=CASES", "--out", "OUT"],
    "simulate": ["simulate", JOB, "--site", "north=CASES", "--site", "south=OTHERS", "--out", "OUT"],
    "demo": ["demo", "--out", "OUT"],
    "report": ["report", "RESULT", "--out", "OUT"],
    "privacy": ["privacy", JOB, "--out", "OUT"],
    "jobs export": ["jobs", "export", JOB, "--to", "OUT"],
    "poc up": ["poc", "up", "--out", "OUT"],
    "poc run": ["poc", "run", "--out", "OUT"],
}
OTHERS = {"provision", "kits pack", "kits unpack", "poc submit", "poc status", "poc down"}
"""Those that make a new folder, or use the one of `poc up`."""

NAMES = ("index.html", "privacy.html", "project.yml", "result", "cohort.json", "predictions.csv", JOB)
"""Files of a person, by names that commands use."""


def commands_with_output(command=None, path=()):
    command = command or typer.main.get_command(app)
    if any({"--out", "--to", "-o"} & {*one.opts} for one in command.params) or path == ("cohort",):
        yield " ".join(path)
    for name, below in getattr(command, "commands", {}).items():
        yield from commands_with_output(below, (*path, name))


def test_every_command_with_a_folder_for_results_is_looked_at():
    assert {*commands_with_output()} == COMMANDS.keys() | OTHERS


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_of_a_persons_own_files_stays_as_it_is(run, tmp_path, command):
    places = {"OUT": tmp_path / "mine", "CASES": tmp_path / "cases", "OTHERS": tmp_path / "others"}
    places |= {"MODEL": tmp_path / "result/model.safetensors", "RESULT": tmp_path / "downloaded"}
    for folder in ("OUT", "CASES", "OTHERS", "RESULT"):
        places[folder].mkdir()
    for folder in ("CASES", "OTHERS"):
        write_case(places[folder], "Doe-1")
    write_model(places["MODEL"])
    (places["RESULT"] / READINESS_FILE).write_text(readiness(north="train").model_dump_json())
    for name in NAMES:
        (places["OUT"] / name).write_text("mine")
    words = [
        word.replace(word.rpartition("=")[2], str(places[word.rpartition("=")[2]]))
        if word.rpartition("=")[2] in places
        else word
        for word in COMMANDS[command]
    ]
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert str(places["OUT"]) in err
    assert {path.name: path.read_text() for path in places["OUT"].iterdir()} == dict.fromkeys(NAMES, "mine")
