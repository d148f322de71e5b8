"""Arguments and options shared by several commands, and their parsing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.data.case_format import CaseFormat
    from consilium.tasks.base import Task

CONVENTION_HELP: Final = (
    "What label values mean: the name of one of the task's label conventions; an unknown name lists "
    "them. Without it, names and values decide."
)

MISSING_HELP: Final = (
    "What a hospital lacks, by the task's name; an unknown name lists them. An image that it doesn't "
    "acquire: cases without it are used in jobs whose models learn to do without images. Or a target "
    "that its labels don't distinguish: it trains and scores the others; state --convention as well. They "
    "are missing_inputs and missing_targets of a site's settings."
)
SUBGROUPS_HELP: Final = (
    "CSV file of a hospital's subgroups, such as patient,age band,scanner; an evaluation of models reports "
    "the large enough ones."
)
PATIENTS_HELP: Final = (
    "Which cases are of one patient: CSV with the columns case and patient. Default: participants.tsv in the "
    "folder of cases, where it has one."
)
ACCEPTED_HELP: Final = (
    "Findings that were reviewed and accepted: CSV with the columns case, code, files, by and note, "
    "as `consilium check --write-accepted` writes it."
)

KitFolder = Annotated[
    Path,
    typer.Argument(metavar="KIT", help="The kit's folder; it holds startup/ and local/.", show_default=False),
]
Job = Annotated[
    str,
    typer.Argument(metavar="JOB", help="A name of `consilium jobs list`, or an exported job folder."),
]
JobToCheck = Annotated[
    str, typer.Option("--job", help="Job folder, or a name of `consilium jobs list`, to check for.")
]
ProjectFile = Annotated[
    Path, typer.Option("--project", metavar="FILE", help="FLARE's project file: who takes part.")
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for all output.")]
SyntheticTask = Annotated[str, typer.Option("--task", help="The task whose synthetic hospitals are used.")]

TRAINING_PATIENTS = "Training patients of the hospital, from which the noise follows."

Json = Annotated[bool, typer.Option("--json", help="JSON for machines.")]
JsonWithoutCases = Annotated[
    bool, typer.Option("--json", help="JSON for machines, without case ids and paths.")
]
ShowCases = Annotated[
    bool,
    typer.Option("--show-cases", help="Name cases and files; such output must not leave the hospital."),
]
FileEndings = Annotated[
    list[str] | None,
    typer.Option(
        "--file-ending",
        metavar="KIND=ENDING",
        help="Ending of file names, such as label=mask; KIND is label or an input of the task.",
        show_default=False,
    ),
]
Model = Annotated[
    Path,
    typer.Option(
        "-m",
        "--model",
        help="A result folder, a downloaded job, a bundle, or a .safetensors file.",
        show_default=False,
    ),
]
WhichModel = Annotated[
    Literal["best", "final"] | None,
    typer.Option(
        help="The model to take from a folder. Default: the one that scored best, if there is one.",
        show_default=False,
    ),
]
Mirror = Annotated[bool, typer.Option("--mirror", help="Average over mirrored images: eight times the work.")]
OnlyCases = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="ID", help="Only this case; may be repeated.", show_default=False),
]
Accepted = Annotated[Path | None, typer.Option(metavar="FILE", help=ACCEPTED_HELP, show_default=False)]
ModelDevice = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:0.")]
ModelThreads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="CPU threads. Default: all cores that may be used.",
        show_default=False,
    ),
]
CaseWorkers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Processes that read and check. Default: by the number of cases and cores.",
        show_default=False,
    ),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a setting. Repeat it for more.",
        show_default=False,
    ),
]
StartFrom = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Start from a trained model: a result folder, a downloaded job, a bundle, a .safetensors file, "
        "or a .pt file of published weights that the task knows. Default: weights drawn from the seed.",
        show_default=False,
    ),
]

LocalOnly = Annotated[
    bool,
    typer.Option(
        "--local-only",
        help="Ask for the job's local_only: every site trains a model alone as well, in the federation.",
    ),
]


def parse_endings(assignments: Iterable[str], case_format: CaseFormat) -> dict[str, tuple[str, ...]]:
    """Read `--file-ending label=mask`, given as often as needed.

    Args:
        assignments: The options.
        case_format: Of the job's task.

    Raises:
        ConfigurationError: One does not have this form, or is not an ending.
    """
    endings: dict[str, list[str]] = defaultdict(list)
    for assignment in assignments:
        kind, equals, ending = assignment.partition("=")
        if not (kind and equals and ending):
            raise ConfigurationError(
                f"--file-ending {assignment!r} is not of the form KIND=ENDING, such as label=mask"
            )
        endings[kind].append(ending)
    case_format.check_endings(endings)
    return {kind: tuple(found) for kind, found in endings.items()}


def parse_missing(name: str, task: Task, option: str) -> bool:
    """Check a name given to `--missing`, and return whether it is a target and not an image.

    Args:
        name: The name.
        task: The job's.
        option: The option as it was typed, for messages.

    Raises:
        ConfigurationError: The task has no such image or target, or can't do without the image.
    """
    targets = [one.name for one in task.targets]
    if name in targets:
        return True
    if name not in task.inputs:
        raise ConfigurationError(
            f"{option} names no image or target of {task.name}; known: {', '.join((*task.inputs, *targets))}"
        )
    task.cases.lacking([name])
    return False


def parse_convention(name: str, case_format: CaseFormat) -> str:
    """Check the name of a label convention.

    Args:
        name: The name.
        case_format: Of the job's task.

    Raises:
        ConfigurationError: None of the task's has it.
    """
    if name not in case_format.conventions:
        known = ", ".join(case_format.conventions) or f"none, as labels of {case_format.name} mean one thing"
        raise ConfigurationError(f"--convention: none is named {name!r}; known: {known}")
    return name
