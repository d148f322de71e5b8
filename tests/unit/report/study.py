"""A study as a server and its hospitals would record it: four hospitals, three of which train."""

from collections.abc import Mapping
from typing import Any

from consilium.records.federation import BaselineRecord, FederationRecord, RoundRecord, SiteReport, SiteRound
from consilium.records.gain import Gain, SiteGain
from consilium.records.summed_reports import ALL_SITES, SummedReports
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

TASK = get_task("brain_tumor")
VERSIONS = {"python": "3.11.9", "consilium": "0.1.0", "nvflare": "2.9.0", "monai": "1.5.1", "torch": "2.8.0"}
CASES = {"aster": (10, 4), "birch": (9, 3), "cedar": (7, 3), "dahlia": (0, 4)}
TRAINING = ("aster", "birch", "cedar")
FINAL_DICE = {"aster": 0.84, "birch": 0.80, "cedar": 0.76, "dahlia": 0.72}
SECONDS = {"cohort": 41.0, "federated": 130.5, "total": 395.0}


def scores(dice: float, *, distances: bool = True) -> dict[str, float]:
    """Scores around a mean Dice: TC as the mean, WT 0.06 above, ET 0.06 below."""
    result = {"dice_tc": dice, "dice_wt": dice + 0.06, "dice_et": dice - 0.06, "dice": dice}
    if distances:
        far = 40 * (1 - dice)
        result |= {"hd95_tc": far, "hd95_wt": far + 1, "hd95_et": far + 2, "hd95": far + 1}
    return result


def site_report(site: str, *, task: int = 0, **changes: Any) -> SiteReport:
    """What a hospital reports with its answer to the task of that number."""
    train, validation = CASES[site]
    trains = site in TRAINING
    values: dict[str, Any] = {
        "role": "trains" if trains else "evaluates",
        "train_cases": train,
        "validation_cases": validation if trains else 0,
        "test_cases": validation,
        "steps": 40 if trains else 0,
        "loss": 1.2 / (task + 1.5) if trains else None,
        "train_seconds": 9.0 if trains else 0.0,
        "task_seconds": 11.0 if trains else 2.0,
        "bytes_sent": 1_800_000 * (task + 1),
        "bytes_received": 1_900_000 * (task + 1),
        "versions": VERSIONS,
    }
    return SiteReport.model_validate(values | changes)


def site_round(site: str, *, task: int = 0, **changes: Any) -> SiteRound:
    """A hospital's part in a task, as it goes when nothing goes wrong."""
    if site not in TRAINING:
        return SiteRound(outcome="evaluated", report=site_report(site, task=task, **changes))
    return SiteRound(
        outcome="trained",
        weight=CASES[site][0] / 26,
        update_norm=5.0 / (task + 1),
        report=site_report(site, task=task, **changes),
    )


def federation(rounds: int = 5, **changes: Any) -> FederationRecord:
    """A run in which every hospital took part to the end; Dice rises to `FINAL_DICE`."""
    records = []
    for index in range(rounds):
        share = (index + 1) / rounds
        dice = {site: final * share**0.3 for site, final in FINAL_DICE.items()}
        records.append(
            RoundRecord(
                number=index + 1,
                seconds=12.5,
                sites={site: site_round(site, task=index) for site in CASES},
                scores={site: scores(value, distances=False) for site, value in dice.items()},
            )
        )
    learning = BrainTumorSettings(seed=7).model_dump(mode="json")
    values: dict[str, Any] = {
        "job": "simulate_job",
        "task": TASK.name,
        "title": TASK.title,
        "metrics": TASK.evaluation.metrics,
        "status": "finished",
        "rounds_planned": rounds,
        "settings": {"rounds": rounds, "min_sites": 2, "learning": learning},
        "initial_scores": {site: scores(0.07, distances=False) for site in CASES},
        "rounds": records,
        "final_scores": {site: scores(value) for site, value in FINAL_DICE.items()},
        "final_sites": {
            site: SiteRound(outcome="evaluated", report=site_report(site, task=rounds, steps=0, loss=None))
            for site in CASES
        },
        "best_round": rounds,
        "versions": VERSIONS,
    }
    return FederationRecord.model_validate(values | changes)


def private_federation(level: str = "formal", rounds: int = 5, **changes: Any) -> FederationRecord:
    """The same run with differential privacy: no loss, and at the level formal no validation, left a site."""
    values: dict[str, Any] = {"algorithm": {"name": "dp_sgd", "level": level, "epsilon": None, "delta": None}}
    record = federation(rounds, **changes)
    record.settings |= values
    formal = level == "formal"
    stages = [*(one.sites for one in record.rounds), record.final_sites]
    for report in (one.report for sites in stages for one in sites.values() if one.report):
        report.loss = None
        if formal:
            report.validation_cases = report.validation_patients = None
    if formal:
        record.initial_scores, record.best_round = {}, None
        for one in record.rounds:
            one.scores = {}
    return record


def summed_federation(rounds: int = 5, **changes: Any) -> FederationRecord:
    """The same run with secure aggregation: cases, losses and scores of rounds left the sites in sums."""
    record = federation(rounds, **changes)
    record.settings |= {"algorithm": {"name": "secagg_fedavg"}}
    stages = [*(one.sites for one in record.rounds), record.final_sites]
    for one in (one for sites in stages for one in sites.values()):
        one.weight = None if one.outcome == "trained" else 0.0
        if one.report:
            one.report.loss = one.report.train_cases = None
            one.report.validation_cases = one.report.validation_patients = None
    record.initial_scores = {ALL_SITES: scores(0.01, distances=False)}
    for number, one in enumerate(record.rounds, start=1):
        one.scores = {ALL_SITES: scores(0.8 * number / rounds, distances=False)}
        one.summed = SummedReports(sites=len(TRAINING), cases=26, loss=1.0 / number, clipped=0)
    return record


def site_gain(local: float, federated: float, patients: int, width: float | None = None) -> SiteGain:
    """What a hospital gains; with an interval of that width on both sides, or none."""
    own, final = scores(local), scores(federated)
    gains = {
        name: Gain(
            mean=final[name] - own[name],
            low=None if width is None else final[name] - own[name] - width,
            high=None if width is None else final[name] - own[name] + width,
        )
        for name in own
        if name.startswith("dice")
    }
    return SiteGain(patients=patients, local=own, federated=final, gains=gains)


def baselines(local: Mapping[str, Mapping[str, float]] | None = None) -> BaselineRecord:
    """Local-only models that are best at home, and a pooled model a little above the federation's."""
    local = local or {
        home: {site: final - (0.04 if site == home else 0.20) for site, final in FINAL_DICE.items()}
        for home in TRAINING
    }
    gains = {
        home: site_gain(dice_by_site[home], FINAL_DICE[home], CASES[home][1])
        for home, dice_by_site in local.items()
        if home in dice_by_site
    }
    return BaselineRecord(
        gains=gains,
        patient_gains={
            home: [
                gain.gains["dice"].mean + (place - (gain.patients - 1) / 2) / 100
                for place in range(gain.patients)
            ]
            for home, gain in gains.items()
        },
        local_steps=200,
        pooled_steps=200,
        local={
            home: {site: scores(dice) for site, dice in dice_by_site.items()}
            for home, dice_by_site in local.items()
        },
        pooled={site: scores(final + 0.01) for site, final in FINAL_DICE.items()},
        local_seconds=120.0,
        pooled_seconds=90.0,
    )
