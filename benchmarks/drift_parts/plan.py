"""What is run: each algorithm's job with the same steps and patients, the first comparisons first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from consilium.recipes.catalog import CATALOG
from consilium.recipes.training import TrainingRecipe
from drift_parts.cohorts import WHOLE, CohortName, Sizes

REFERENCE: Final = "fedavg"
"""What the others are compared with. Beside a reference, local-only and pooled models are trained."""

_TASK: Final = "brain_tumor"
_EPOCHS: Final[Mapping[CohortName, float]] = {"strong": 1.0, "mild": 1.0, "sizes": 5 / 3}
"""Epochs of a round that are as many steps in all as equal steps, within a fifth, for the whole cohorts."""

_SEGRESNET: Final = {"learning.network": "segresnet", "learning.learning_rate": 1e-3}
LEFT_OUT: Final = {"brain_tumor_dp_sgd": "an epsilon changes batch, rate and steps"}
"""Jobs that are not compared, and why."""


@dataclass(frozen=True)
class Algorithm:
    """One way to train together.

    Attributes:
        name: Of its runs.
        title: In tables.
        job: Of the catalog.
        reference: What it is compared with: federated averaging with the same network and steps.
        changes: Settings that differ from those of all other runs.
        takes_turns: Whether a round is one hospital's turn; then there are as many times more of them.
        rounds_in_one: Rounds in the time of one, each of as many times fewer steps.
        in_epochs: Whether a hospital's steps of a round are in proportion to its patients.
    """

    name: str
    title: str
    job: str
    reference: str = REFERENCE
    changes: Mapping[str, Any] = field(default_factory=dict)
    takes_turns: bool = False
    rounds_in_one: int = 1
    in_epochs: bool = False

    @property
    def network(self) -> str | None:
        """Its network, where that is not the one of most."""
        return self.changes.get("learning.network")


def _list_algorithms() -> dict[str, Algorithm]:
    known = {
        "fedavg": Algorithm("fedavg", "FedAvg", f"{_TASK}_fedavg"),
        "ditto": Algorithm("ditto", "Ditto, each site's choice", f"{_TASK}_ditto"),
        "fedprox": Algorithm("fedprox", "FedProx", f"{_TASK}_fedprox"),
        "scaffold": Algorithm("scaffold", "SCAFFOLD", f"{_TASK}_scaffold"),
        "fedpid": Algorithm("fedpid", "FedPID's weights", f"{_TASK}_fedpid"),
        "fedavgm": Algorithm("fedavgm", "FedAvgM", f"{_TASK}_fedavgm"),
        "fedadam": Algorithm("fedadam", "FedAdam", f"{_TASK}_fedadam"),
        "fedyogi": Algorithm("fedyogi", "FedYogi", f"{_TASK}_fedyogi"),
        "cyclic": Algorithm("cyclic", "cyclic, as many turns", f"{_TASK}_cyclic", takes_turns=True),
        "fedavg_shares": Algorithm(
            "fedavg_shares",
            "FedAvg, no site over 3/8",
            f"{_TASK}_fedavg",
            changes={"aggregation.max_site_share": 0.375},
        ),
        "fedavg_median": Algorithm(
            "fedavg_median", "median of updates", f"{_TASK}_fedavg", changes={"aggregation.rule": "median"}
        ),
        "fedavg_short": Algorithm(
            "fedavg_short",
            "FedAvg, twice the rounds of half the steps",
            f"{_TASK}_fedavg",
            rounds_in_one=2,
        ),
        "ditto_free": Algorithm(
            "ditto_free",
            "Ditto, strength 0.01",
            f"{_TASK}_ditto",
            changes={"algorithm.strength": 0.01},
        ),
        "fedavg_epochs": Algorithm(
            "fedavg_epochs", "FedAvg, an epoch a round", f"{_TASK}_fedavg", in_epochs=True
        ),
        "fednova": Algorithm(
            "fednova", "FedNova, an epoch a round", f"{_TASK}_fednova", "fedavg_epochs", in_epochs=True
        ),
        "fedavg_unlimited": Algorithm(
            "fedavg_unlimited",
            "FedAvg, a site's share not limited",
            f"{_TASK}_fedavg",
            changes={"aggregation.max_site_share": 1.0},
        ),
        "fedavg_secagg": Algorithm(
            "fedavg_secagg", "FedAvg by secure aggregation", f"{_TASK}_fedavg_secagg", "fedavg_unlimited"
        ),
        "fedavg_gpu": Algorithm(
            "fedavg_gpu", "FedAvg, SegResNet", f"{_TASK}_fedavg_gpu", "fedavg_gpu", _SEGRESNET
        ),
        "fedbn": Algorithm(
            "fedbn", "local normalization, SegResNet", f"{_TASK}_fedbn", "fedavg_gpu", _SEGRESNET
        ),
    }
    named = {one.job for one in known.values()} | LEFT_OUT.keys()
    for job, entry in CATALOG.items():  # one that was added to the catalog is compared as well
        if issubclass(entry.recipe, TrainingRecipe) and job.startswith(f"{_TASK}_") and job not in named:
            name = job.removeprefix(f"{_TASK}_")
            known[name] = Algorithm(name, name, job)
    return known


ALGORITHMS: Final = _list_algorithms()
"""All that the catalog has for the task, in the order of their runs."""


@dataclass(frozen=True)
class Effort:
    """How much every run trains.

    Attributes:
        sizes: Numbers of patients, by cohort.
        rounds: Of a job.
        steps: Of a site in a round.
        device: On which; predictions depend on it.
    """

    sizes: Mapping[CohortName, Sizes]
    rounds: int
    steps: int
    device: str = "cpu"


@dataclass(frozen=True)
class Run:
    """One job on one cohort.

    Attributes:
        cohort: The cohort.
        seed: Of patients, split, weights and samples.
        algorithm: Name of `ALGORITHMS`.
        left_out: A hospital that only evaluates; None for a run in which all train.
    """

    cohort: CohortName
    seed: int
    algorithm: str
    left_out: str | None = None

    @property
    def name(self) -> str:
        """Its folder.

        Example:
            >>> Run("mild", 0, "fedavg", "birch").name
            'mild-0-fedavg-without-birch'
        """
        without = f"-without-{self.left_out}" if self.left_out else ""
        return f"{self.cohort}-{self.seed}-{self.algorithm}{without}"

    @property
    def compares(self) -> bool:
        """Whether local-only and pooled models are trained beside it."""
        return ALGORITHMS[self.algorithm].reference == self.algorithm and self.left_out is None

    def changes(self, effort: Effort) -> dict[str, Any]:
        """Return the settings of its job that differ from the catalog's.

        Args:
            effort: How much it trains.
        """
        algorithm = ALGORITHMS[self.algorithm]
        turns = len(effort.sizes[self.cohort].train) if algorithm.takes_turns else 1
        epochs = _EPOCHS[self.cohort] if algorithm.in_epochs else None
        return {
            "rounds": effort.rounds * turns * algorithm.rounds_in_one,
            "gpus_per_site": 0,
            "task_request_seconds": 1.0,
            "learning.seed": self.seed,
            "learning.spacing_mm": 4.0,
            "learning.patch_voxels": [32, 40, 32],
            "learning.window_overlap": 0.25,
            "learning.batch_size": 1,
            "learning.learning_rate": 8e-3,
            "learning.local_steps": None if algorithm.in_epochs else effort.steps // algorithm.rounds_in_one,
            "learning.local_epochs": epochs,
            **algorithm.changes,
        }


def plan_runs(
    cohorts: Sequence[CohortName], seeds: Sequence[int], algorithms: Collection[str], left_out: Sequence[str]
) -> list[Run]:
    """Return the runs in order: seed by seed, cohort by cohort, and last those that leave a hospital out.

    Args:
        cohorts: Their names.
        seeds: Seeds.
        algorithms: Names of `ALGORITHMS`.
        left_out: Hospitals that are left out, one after the other, of federated averaging on the cohorts that
            have them.
    """
    chosen = [name for name in ALGORITHMS if name in algorithms]
    return [Run(cohort, seed, name) for seed in seeds for cohort in cohorts for name in chosen] + [
        Run(cohort, seed, REFERENCE, name)
        for seed in seeds
        for cohort in cohorts
        for name in left_out
        if name in WHOLE[cohort].train
    ]


def references(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    """Yield each run with the one that it is compared with, where that is another one of the runs."""
    for run in runs:
        reference = Run(run.cohort, run.seed, ALGORITHMS[run.algorithm].reference)
        if reference != run and reference in runs and run.left_out is None:
            yield run, reference
