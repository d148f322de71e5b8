"""Read an exported job folder back: its kind, what it trains, and whether it keeps to the rules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from consilium.errors import ConfigurationError
from consilium.federation.inquiry.readiness import ReadinessCheck
from consilium.federation.inquiry.statistics import StatisticsRecorder
from consilium.federation.rounds.controller import FederatedTraining
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.settings import LearningSettings

JobKind = Literal["training", "readiness", "statistics"]

_KINDS: dict[type, JobKind] = {
    FederatedTraining: "training",
    ReadinessCheck: "readiness",
    StatisticsRecorder: "statistics",
}
"""Who keeps a job's record at the server, and so what kind of job it is."""


@dataclass(frozen=True)
class JobFolder:
    """What an exported job says.

    Attributes:
        path: The folder.
        rounds: Rounds of training.
        learning: What every site trains.
    """

    path: Path
    rounds: int
    learning: LearningSettings


def read_job_folder(path: Path) -> JobFolder:
    """Read and check a job's folder.

    Raises:
        ConfigurationError: If it is not a FLARE job, is not one of Consilium's, brings code of its own, or
            holds settings that can't be used.
    """
    _check_folder(path)
    server = _read_config(path, "config_fed_server.json")
    client = _read_config(path, "config_fed_client.json")
    training = _arguments(server.get("workflows", []), FederatedTraining)
    executor = _arguments([entry.get("executor", {}) for entry in client.get("executors", [])], SiteExecutor)
    if training is None or executor is None:
        raise ConfigurationError(
            f"{path} is a FLARE job, but not one that trains with {FederatedTraining.__name__} and "
            f"{SiteExecutor.__name__}; `consilium jobs list` names those that do"
        )
    learning = LearningSettings.parse(executor.get("learning", {}), source=f"{path}, learning settings")
    rounds = training.get("rounds")
    if not isinstance(rounds, int) or rounds < 1:
        raise ConfigurationError(f"{path}: rounds is {rounds!r}, not a whole number of 1 or more")
    return JobFolder(path, rounds, learning)


def job_kind(path: Path) -> JobKind:
    """Tell whether a job trains, or only asks the sites something.

    Raises:
        ConfigurationError: If it is not a FLARE job, is not one of Consilium's, or brings code of its own.
    """
    _check_folder(path)
    server = _read_config(path, "config_fed_server.json")
    parts = [*server.get("workflows", []), *server.get("components", [])]
    kinds = [kind for recorder, kind in _KINDS.items() if _arguments(parts, recorder) is not None]
    if len(kinds) != 1:
        raise ConfigurationError(
            f"{path} is a FLARE job, but not one of Consilium's: its server has {len(kinds)} of "
            f"{', '.join(recorder.__name__ for recorder in _KINDS)}, not one; `consilium jobs list` names "
            "those that are"
        )
    return kinds[0]


def _check_folder(path: Path) -> None:
    if not (path / "meta.json").is_file():
        raise ConfigurationError(
            f"{path} is not a FLARE job: it has no meta.json; `consilium jobs list` names the jobs, and "
            "`consilium jobs export NAME` writes one"
        )
    code = sorted(folder for folder in path.rglob("custom") if folder.is_dir())
    if code:
        raise ConfigurationError(
            f"{path} brings its own code ({code[0].relative_to(path)}); sites refuse such a job, and so does "
            "the simulation: install the code at the sites and name it in their class_allow_list"
        )


def _read_config(path: Path, name: str) -> dict[str, Any]:
    files = sorted(path.glob(f"*/config/{name}"))
    if len(files) != 1:
        raise ConfigurationError(f"{path} has {len(files)} files */config/{name}; a job of Consilium has one")
    try:
        content = json.loads(files[0].read_text())
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{files[0]} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{files[0]} holds a {type(content).__name__}, not a JSON object")
    return content


def _arguments(components: list[dict[str, Any]], kind: type) -> dict[str, Any] | None:
    for component in components:
        if component.get("path") == f"{kind.__module__}.{kind.__qualname__}":
            arguments: dict[str, Any] = component.get("args", {})
            return arguments
    return None
