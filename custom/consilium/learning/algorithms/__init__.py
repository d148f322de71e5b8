"""Federated algorithms, site side, found by the name in a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consilium.errors import ConfigurationError
from consilium.learning.algorithms.base import AlgorithmSettings, LocalAlgorithm
from consilium.learning.algorithms.cyclic import CyclicAlgorithmSettings, CyclicDialogue
from consilium.learning.algorithms.dialogue import SiteDialogue
from consilium.learning.algorithms.ditto import DittoAlgorithmSettings, LocalDitto
from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings, LocalDpSgd
from consilium.learning.algorithms.fedavg import FedAvgAlgorithmSettings, LocalFedAvg
from consilium.learning.algorithms.fedbn import FedBNAlgorithmSettings
from consilium.learning.algorithms.fednova import FedNovaAlgorithmSettings
from consilium.learning.algorithms.fedpid import FedPIDAlgorithmSettings
from consilium.learning.algorithms.fedprox import FedProxAlgorithmSettings, LocalFedProx
from consilium.learning.algorithms.scaffold import LocalScaffold, ScaffoldAlgorithmSettings
from consilium.learning.algorithms.sealed_plan import SwarmAlgorithmSettings
from consilium.learning.algorithms.secagg_fedavg import LocalSecAggFedAvg, SecAggDialogue
from consilium.learning.algorithms.secagg_plan import SecAggFedAvgSettings
from consilium.learning.algorithms.server_optimizers import (
    FedAdamAlgorithmSettings,
    FedAvgMAlgorithmSettings,
    FedYogiAlgorithmSettings,
)
from consilium.learning.algorithms.swarm import LocalSwarm, SwarmDialogue

if TYPE_CHECKING:
    from consilium.tasks.learning_settings import LearningSettings


@dataclass(frozen=True)
class AlgorithmParts:
    """Parts of an algorithm at a site.

    Attributes:
        settings: What a job may decide about it.
        local: Its hooks in the training processes.
        dialogue: What answers its questions.
    """

    settings: type[AlgorithmSettings]
    local: type[LocalAlgorithm]
    dialogue: type[SiteDialogue] = SiteDialogue


ALGORITHMS: dict[str, AlgorithmParts] = {
    "fedavg": AlgorithmParts(FedAvgAlgorithmSettings, LocalFedAvg),
    "fedprox": AlgorithmParts(FedProxAlgorithmSettings, LocalFedProx),
    "fedavgm": AlgorithmParts(FedAvgMAlgorithmSettings, LocalFedAvg),
    "fedadam": AlgorithmParts(FedAdamAlgorithmSettings, LocalFedAvg),
    "fedyogi": AlgorithmParts(FedYogiAlgorithmSettings, LocalFedAvg),
    "fednova": AlgorithmParts(FedNovaAlgorithmSettings, LocalFedAvg),
    "fedpid": AlgorithmParts(FedPIDAlgorithmSettings, LocalFedAvg),
    "scaffold": AlgorithmParts(ScaffoldAlgorithmSettings, LocalScaffold),
    "ditto": AlgorithmParts(DittoAlgorithmSettings, LocalDitto),
    "fedbn": AlgorithmParts(FedBNAlgorithmSettings, LocalFedAvg),
    "cyclic": AlgorithmParts(CyclicAlgorithmSettings, LocalFedAvg, CyclicDialogue),
    "dp_sgd": AlgorithmParts(DpSgdAlgorithmSettings, LocalDpSgd),
    "secagg_fedavg": AlgorithmParts(SecAggFedAvgSettings, LocalSecAggFedAvg, SecAggDialogue),
    "swarm": AlgorithmParts(SwarmAlgorithmSettings, LocalSwarm, SwarmDialogue),
}
"""The site's half of each algorithm, by the name that a job gives."""

DEFAULT_ALGORITHM: Final[AlgorithmSettings] = FedAvgAlgorithmSettings()
"""The algorithm where nothing names one."""


def parse_algorithm(values: Mapping[str, Any], *, source: str = "the job's algorithm") -> AlgorithmSettings:
    """Read a job's algorithm: its name, and the settings that an algorithm of this name has.

    Raises:
        ConfigurationError: If the name is unknown, or a setting can't be used.

    Example:
        >>> parse_algorithm({"name": "fedavg"}).name
        'fedavg'
    """
    name = values.get("name")
    parts = ALGORITHMS.get(name) if isinstance(name, str) else None
    if parts is None:
        raise ConfigurationError(f"{source}: name is {name!r:.80}; known: {', '.join(sorted(ALGORITHMS))}")
    return parts.settings.parse(values, source=source)


@dataclass(frozen=True)
class Withheld:
    """What an algorithm keeps at the sites, whatever the number of patients.

    Attributes:
        algorithm: Its name.
        scores: Whether scores of validation patients, and their number, stay there.
        losses: Whether training losses stay there.
        summed: Whether scores, losses and numbers of cases leave in sums of several sites only.
    """

    algorithm: str = ""
    scores: bool = False
    losses: bool = False
    summed: bool = False

    @property
    def chooses_nothing(self) -> bool:
        """Whether no model can be chosen by validation patients."""
        return self.scores and not self.summed

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it is, in words."""
        named = {"scores of validation patients": self.scores, "training losses": self.losses}
        of_whom = " of single hospitals" if self.summed else ""
        return tuple(f"{name}{of_whom}" for name, stays in named.items() if stays)

    @property
    def explanation(self) -> str:
        """Why a table has no number of validation patients; empty where it has one.

        Example:
            >>> Withheld("dp_sgd", scores=True).explanation[:42]
            'Withheld: the algorithm of this job, dp_sg'
        """
        if self.summed:
            return (
                f"Withheld: the algorithm of this job, {self.algorithm}, sends numbers of training and "
                "validation patients, and their scores, in sums of several hospitals only."
            )
        return (
            f"Withheld: the algorithm of this job, {self.algorithm}, sends no number of validation patients."
            if self.scores
            else ""
        )


def recorded_algorithm(values: object) -> AlgorithmSettings | None:
    """Return the algorithm of a job's record.

    Args:
        values: Its settings, which another machine wrote.

    Returns:
        None if the record names no algorithm, or one that this version can't read.
    """
    if not isinstance(values, Mapping):
        return None
    try:
        return parse_algorithm(values)
    except ConfigurationError:
        return None


def withheld_by(values: object) -> Withheld:
    """Return what the algorithm of a job's record keeps at the sites; nothing for one that isn't known.

    Args:
        values: See `recorded_algorithm`.
    """
    algorithm = recorded_algorithm(values)
    if algorithm is None:
        return Withheld()
    losses, summed = algorithm.withholds_losses, algorithm.sums_reports
    return Withheld(
        algorithm.name, scores=algorithm.withholds_scores or summed, losses=losses or summed, summed=summed
    )


def adds_noise(values: object) -> bool:
    """Return whether sites add noise by the algorithm of a job's record; models trained alone have none.

    Args:
        values: See `recorded_algorithm`.
    """
    algorithm = recorded_algorithm(values)
    return algorithm is not None and algorithm.promise().epsilon is not None


def algorithm_caution(values: object) -> str:
    """Return what a reader of a job's results has to know about its algorithm.

    Args:
        values: The algorithm as the job's record has it; one that is not known here has no caution.
    """
    name = values.get("name") if isinstance(values, Mapping) else None
    parts = ALGORITHMS.get(name) if isinstance(name, str) else None
    return parts.settings.caution if parts else ""


def local_algorithm(settings: AlgorithmSettings, learning: LearningSettings) -> LocalAlgorithm:
    """Build the hooks of an algorithm."""
    return ALGORITHMS[settings.name].local(settings, learning)


def site_dialogue(settings: AlgorithmSettings) -> SiteDialogue:
    """Build the site's dialogue of an algorithm."""
    return ALGORITHMS[settings.name].dialogue(settings)
