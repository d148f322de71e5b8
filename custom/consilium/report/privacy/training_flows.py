"""What a training job has a hospital send."""

from __future__ import annotations

from typing import Final

from consilium.counts import counted
from consilium.learning.algorithms.sealed_plan import COMBINE, COMBINED, SEALED
from consilium.learning.algorithms.secagg_plan import SUMS
from consilium.records.score_intervals import FEW_AT_A_BOUND
from consilium.report.privacy.facts import JobFacts, SiteFacts, TrainingFacts
from consilium.report.privacy.flow_list import GROUPED, RESULT, FlowList, patients

EVERY_USER: Final = "every user of the project"
WITHHELD: Final = "the job's algorithm withholds them, as noise would have to hide them"
_HOSPITAL_HIDDEN: Final = "noise hides this hospital as a whole, and would have to hide them (hospital_noise)"
_IN_THE_CLEAR: Final = "each hospital's, in the clear; on its disk until the round ends"
_ONLY_EVALUATES: Final = "this hospital only evaluates (role)"
_SUMMED: Final = (
    "Masked numbers beside the update (“sums”), in each round: training cases, clipped values, and, unless "
    "noise hides the hospital, the loss and the scores of validation patients"
)
_SETS: Final = {
    SUMS: _SUMMED,
    SEALED: "The update, encrypted for the hospital whose turn it is, in each round",
    COMBINED: "At the hospital whose turn it is: what it makes of all updates",
}
_RULES: Final = {
    "mean": "weighted mean",
    "median": "median of each weight",
    "trimmed_mean": "trimmed mean of each weight",
    "clipped_mean": "weighted mean after clipping",
}


def add_training_flows(flows: FlowList, job: JobFacts, kind: TrainingFacts, site: SiteFacts) -> None:
    """Add what leaves in a training job.

    Args:
        flows: Where to.
        job: The job.
        kind: What it asks of training.
        site: What the hospital decides.
    """
    if site.role == "trains":
        _add_update(flows, kind, site)
    else:
        flows.hold_back("updates, losses and numbers of training cases", _ONLY_EVALUATES)
    _add_model(flows, kind, site)
    by_protocol = not kind.promise.server_sees_updates
    for name, answer in kind.questions.items():
        flows.add(
            f"question_{name}"[:40],
            f"{answer.rstrip('.')}; in each round, as the answer to the algorithm's question “{name}”",
            "none: keys and signatures follow from no patient"
            if by_protocol and name != COMBINE
            else "see the algorithm's documentation",
            "",
            users="no",
        )
    _add_scores(flows, job, kind, site)
    if kind.local_only:
        _add_local_only(flows, job, site)


def samples_of_round(kind: TrainingFacts) -> str:
    """Return how much of the training data a round uses, in words."""
    if kind.promise.epsilon is not None and kind.local_steps is not None:
        drawn = counted(kind.batch_size, "patient")
        return f"{drawn} on average in each of {counted(kind.local_steps, 'step')}, drawn at random"
    most = f", or what {kind.round_minutes:g} min allow" if kind.round_minutes is not None else ""
    if kind.local_steps is None:
        passes = counted(kind.local_epochs, "pass", "passes")
        return f"{passes} over all training cases, {counted(kind.batch_size, 'sample')} a step{most}"
    samples = counted(kind.local_steps * kind.batch_size, "sample")
    return f"{samples}, in {counted(kind.local_steps, 'step')} of {kind.batch_size}{most}"


def combination(kind: TrainingFacts) -> str:
    """Return how updates combine, in words."""
    return _RULES.get(kind.rule, kind.rule)


def noise_of(kind: TrainingFacts) -> str:
    """Return the noise in updates, in words."""
    if kind.promise.epsilon is not None:
        return f"noise (epsilon {kind.promise.epsilon:g} for the whole job)"
    of_sum = kind.algorithm.get("hospital_noise")
    if of_sum is not None:
        return f"noise in the sum that hides a hospital, not by patient ({of_sum:g} times algorithm.max_norm)"
    return "no noise"


def _server_sees(kind: TrainingFacts, name: str = "") -> str:
    if kind.promise.secure_aggregation:
        return "masked: only the sum of several hospitals' can be opened"
    if kind.promise.sealed and name != COMBINED:
        return "no: encrypted for the hospital whose turn it is; on its disk until the round ends"
    return "the combined update" if name == COMBINED else _IN_THE_CLEAR


def _users_see(kind: TrainingFacts, name: str) -> str:
    if name == COMBINED:
        return "the model that it makes"
    return "those who may read the server's files" if kind.promise.server_sees_updates else "no"


def _hospitals_see_set(kind: TrainingFacts, name: str) -> str:
    if name == SEALED:
        return _hospitals_see(kind)
    received = "" if name == COMBINED else ", ".join(kind.received)
    return f"what the server makes of all: {received}" if received else "the combined model"


def _hospitals_see(kind: TrainingFacts) -> str:
    if not kind.promise.hospitals_see_updates:
        return "no: the combined model only"
    return "each hospital's, by itself: the hospital allows it (updates_to_hospitals)"


def _is_hidden(site: SiteFacts) -> bool:
    """Whether the hospital itself hides each of its updates as a whole."""
    return site.role == "trains" and site.hospital_noise is not None


def _hospital_noise_of(site: SiteFacts) -> str:
    noise = site.hospital_noise
    if noise is None:
        return ""
    return (
        f"; noise that hides the hospital, not by patient ({noise.noise_multiplier:g} times the clipped norm)"
    )


def _add_update(flows: FlowList, kind: TrainingFacts, site: SiteFacts) -> None:
    fewest = site.min_update_patients
    minimum = f"{patients(fewest)}; with fewer nothing of the round leaves"
    whom = f"the training patients of the round's samples ({samples_of_round(kind)})"
    kept = ", without those that stay at each site" if kind.keeps_weights else ""
    masked = kind.promise.secure_aggregation
    rounds = counted(kind.rounds, "round")
    when = f"in its turns among {rounds}" if kind.promise.single_update else f"in each of {rounds}"
    noise = f"{noise_of(kind)}{_hospital_noise_of(site)}"
    hidden = "masked" if masked else "sealed for one hospital" if kind.promise.sealed else "no mask"
    protection = f"encrypted on the way (TLS); {noise}, {hidden}"
    flows.add(
        "update",
        f"Update: the change of every weight of the model{kept}, {when}",
        whom,
        minimum,
        server=_server_sees(kind),
        users="no"
        if not kind.promise.server_sees_updates
        else "its length and its share in the mean; those who may read the server's files, all of it",
        hospitals=_hospitals_see(kind),
        protection=protection,
    )
    for name in kind.sent:
        flows.add(
            f"set_{name}"[:40],
            _SETS.get(name, f"Further weight set “{name}” of the algorithm, in each round"),
            whom,
            minimum,
            server="masked, as the update" if masked else _server_sees(kind, name),
            users=_users_see(kind, name),
            hospitals=_hospitals_see_set(kind, name),
            protection=protection,
        )
    for name, (low, high) in kind.numbers.items():
        flows.add(
            f"number_{name}"[:40],
            f"Number “{name}” of the algorithm, from {low:g} to {high:g}, in each round",
            whom,
            minimum,
            users=RESULT,
        )
    if kind.withholds_losses:
        flows.hold_back("losses of training", WITHHELD)
    elif _is_hidden(site):
        flows.hold_back("losses of training", _HOSPITAL_HIDDEN)
    else:
        flows.add(
            "loss",
            "Mean loss of the training steps, during and after each round",
            whom,
            f"{patients(site.min_training_patients)}, and as many more before it changes",
            **_in_sums(kind, users=EVERY_USER, protection="encrypted on the way (TLS); no noise"),
        )
    flows.add(
        "train_cases",
        "Exact number of training cases: the weight of the update",
        "all training patients",
        f"{patients(fewest)}; with fewer the site doesn't take part",
        **_in_sums(kind, users=EVERY_USER, protection="minimum; not grouped, no noise"),
    )


def _in_sums(kind: TrainingFacts, *, users: str, protection: str) -> dict[str, str]:
    """Who sees a number, and what protects it, where such numbers leave in sums or one by one."""
    if not kind.sums_reports:
        return {"users": users, "protection": protection}
    return {
        "server": "masked: only the sum of several hospitals' can be opened",
        "users": f"the sum: {users}",
        "protection": "masked; no noise",
    }


def _add_model(flows: FlowList, kind: TrainingFacts, site: SiteFacts) -> None:
    flows.add(
        "model",
        "Model of each round: that of the hospital whose turn it was, and the best round's"
        if kind.promise.single_update
        else f"Combined model of each round: {combination(kind)} of the updates, and the best round's",
        "the training patients of all hospitals in the rounds"
        + ("" if site.role == "trains" else ", not of this one"),
        "the update of one hospital; see the first row"
        if kind.promise.single_update
        else f"the updates of at least {counted(kind.min_sites, 'hospital')} (min_sites)",
        users="the final and the best model, and whom they are given to",
        hospitals="every round's, and the best",
        protection=f"{noise_of(kind)}; it may reveal who was trained on",
    )


def _add_scores(flows: FlowList, job: JobFacts, kind: TrainingFacts, site: SiteFacts) -> None:
    fewest = site.score_minimum(has_counts=job.has_counts)
    stays = "the scores stay, the site trains" if site.role == "trains" else "the site doesn't take part"
    every = "all patients" if site.role == "evaluates" else "the validation patients"
    tested = "all patients" if site.role == "evaluates" else "the test patients"
    minimum = f"{patients(fewest)}; with fewer {stays}"
    means = f"Means over patients ({', '.join(job.metrics)}), and how many cases and patients"
    if kind.withholds_scores:
        flows.hold_back("scores of each round's model", WITHHELD)
    elif _is_hidden(site):
        flows.hold_back("scores of each round's model", _HOSPITAL_HIDDEN)
    else:
        flows.add(
            "validation_scores",
            f"{means}, of each round's model",
            every,
            minimum,
            **_in_sums(kind, users=EVERY_USER, protection=GROUPED),
        )
    flows.add(
        "test_scores",
        f"{means}, of the final and of the best model; how many models were tested before",
        tested,
        minimum,
        users=EVERY_USER,
        protection=GROUPED,
    )
    if job.has_counts:
        minimum = f"{patients(fewest)} in all cells; with fewer nothing of the scores is sent"
        flows.add_cells(f"{every}, {tested}", minimum)
    flows.add_intervals("test scores", tested, max(site.min_count + FEW_AT_A_BOUND, fewest))


def _add_local_only(flows: FlowList, job: JobFacts, site: SiteFacts) -> None:
    fewest = site.score_minimum(has_counts=job.has_counts)
    what = "scores of a model that the hospital trains alone, and its gain from the federation"
    if site.role == "evaluates":
        flows.hold_back(what, _ONLY_EVALUATES)
    elif _is_hidden(site):
        flows.hold_back(what, "it has no noise, and noise hides this hospital as a whole (hospital_noise)")
    elif not site.local_only:
        flows.hold_back(what, "the hospital allows no such model (local_only)")
    else:
        flows.add(
            "gain",
            f"S{what[1:]}, as means; the model stays",
            "the test patients",
            f"{patients(fewest)}; an interval of {patients(max(site.min_count + FEW_AT_A_BOUND, fewest))}",
            users=RESULT,
            protection=GROUPED,
        )
