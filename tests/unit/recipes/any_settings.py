"""Recipes with any settings that they allow."""

from __future__ import annotations

import math
import uuid

from hypothesis import strategies as st

from consilium.recipes.base import JobRecipe
from consilium.recipes.cyclic import CyclicRecipe
from consilium.recipes.ditto import DittoRecipe
from consilium.recipes.dp_sgd import DpSgdRecipe
from consilium.recipes.evaluation import EvaluationRecipe
from consilium.recipes.fedavg import FedAvgRecipe
from consilium.recipes.fedbn import FedBNRecipe
from consilium.recipes.fednova import FedNovaRecipe
from consilium.recipes.fedpid import FedPIDRecipe
from consilium.recipes.fedprox import FedProxRecipe
from consilium.recipes.readiness import ReadinessRecipe
from consilium.recipes.scaffold import ScaffoldRecipe
from consilium.recipes.secagg_fedavg import SecAggRecipe
from consilium.recipes.server_optimizers import FedAdamRecipe, FedAvgMRecipe, FedYogiRecipe
from consilium.recipes.statistics import StatisticsRecipe
from consilium.recipes.swarm import SwarmRecipe
from consilium.tasks.segmentation.segmentation_settings import MAX_BATCH_VOXELS

names = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True)
sites = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
job_ids = st.uuids(version=4).map(str)


def number(low, high, *, exclude_min=False, exclude_max=False):
    return st.floats(low, high, exclude_min=exclude_min, exclude_max=exclude_max, allow_subnormal=False)


def some(**fields):
    """Any of these settings, the others as by default."""
    return st.fixed_dictionaries({}, optional=fields)


minutes = number(1e-3, 525_600)
voxels = st.integers(2, 64).map(lambda steps: 8 * steps)
steps_only = st.one_of(
    st.just({}), st.builds(lambda steps: {"local_steps": steps}, st.integers(1, 1_000_000))
)
effort = st.one_of(
    steps_only,
    st.builds(lambda epochs: {"local_steps": None, "local_epochs": epochs}, number(1e-3, 10_000)),
)


def fits(values):
    """Whether a batch is as small as the settings allow."""
    patch = values.get("patch_voxels", (72, 88, 80))
    return values.get("batch_size", 1) * math.prod(patch) <= MAX_BATCH_VOXELS


learned = some(
    network=st.sampled_from(["unet_small", "segresnet"]),
    spacing_mm=number(0.5, 8),
    patch_voxels=st.tuples(voxels, voxels, voxels),
    batch_size=st.integers(1, 64),
    learning_rate=number(1e-7, 1),
    weight_decay=number(0, 1),
    warmup=number(0, 0.5),
    foreground_share=number(0, 1),
    window_overlap=number(0, 0.89),
    seed=st.integers(0, 2**31 - 1),
    modality_dropout=number(0, 0.5),
).filter(fits)


def learning_by(*parts):
    """Learning settings of these parts together."""
    return st.tuples(learned, *parts).map(
        lambda found: {"task": "brain_tumor", **{key: value for part in found for key, value in part.items()}}
    )


learning = learning_by(effort, some(round_minutes=st.none() | number(0.01, 10_000)))
affine = learning.map(lambda values: {**values, "network": "segresnet"})
"""With a network that has parameters for local normalization."""

weighted_rules = st.one_of(
    some(max_site_share=number(0.01, 1)),
    st.fixed_dictionaries({"rule": st.just("clipped_mean")}, optional={"clip_ratio": number(0.01, 100)}),
)
aggregation = st.one_of(
    weighted_rules,
    st.fixed_dictionaries({"rule": st.just("median")}, optional={"max_site_share": number(0.01, 1)}),
    st.fixed_dictionaries({"rule": st.just("trimmed_mean")}, optional={"trim_share": number(0.01, 0.49)}),
)
INITIAL = {
    "digest": f"sha256:{'0a' * 32}",
    "origin": [{"name": "first job", "digest": f"sha256:{'1b' * 32}", "round": 3}],
}
common = {"min_sites": st.integers(1, 10_000), "task_request_seconds": number(0.1, 60)}


def recipe_of(kind, fields, **required):
    values = st.fixed_dictionaries({"name": names, **required}, optional=fields)
    return values.map(lambda found: kind.from_values(found, source="a test"))


TRAINING_FIELDS = {
    **common,
    "rounds": st.integers(1, 10_000),
    "quorum": some(
        min_case_share=number(0, 1),
        mandatory_sites=st.lists(sites, max_size=3),
        deadline_minutes=minutes,
        grace_minutes=minutes,
        silence_minutes=number(1, 525_600),
        attempts=st.integers(1, 100),
        backoff_seconds=number(0, 3600),
    ),
    "admission": st.none() | some(min_ready=st.integers(1, 10_000), max_age_hours=number(0.1, 8760)),
    "aggregation": aggregation,
    "screening": some(
        max_norm_ratio=st.none() | number(2, 1e6),
        max_case_change=number(0, 1),
        max_refusals=st.none() | st.integers(1, 10_000),
    ),
    "rollback_margin": st.none() | number(0.001, 1),
    "gpus_per_site": st.integers(0, 64),
    "initial": st.none() | st.just(INITIAL),
    "resume": st.none() | job_ids,
}
algorithms = {
    FedAvgRecipe: {},
    FedProxRecipe: {"mu": number(0, 10)},
    FedAvgMRecipe: {"server_rate": number(0.01, 10), "momentum": number(0, 0.99)},
    FedAdamRecipe: {"server_rate": number(1e-4, 1), "beta1": number(0, 0.999), "tau": number(1e-8, 1)},
    FedYogiRecipe: {"server_rate": number(1e-4, 1), "beta2": number(0, 0.9999)},
    FedNovaRecipe: {},
    FedBNRecipe: {},
    CyclicRecipe: {},
    ScaffoldRecipe: {},
    FedPIDRecipe: {"last_drop": number(0, 0.5), "whole_drop": number(0, 0.5)},
    DittoRecipe: {"strength": number(0, 10)},
    SwarmRecipe: {},
}
# Algorithms that set the sites' weights are for rules that have weights.
excluded = {
    FedPIDRecipe: {"aggregation": weighted_rules},
    CyclicRecipe: {  # one update a round, and a turn for each hospital
        "min_sites": st.integers(2, 24),
        "rounds": st.integers(24, 10_000),
        "aggregation": st.just({"max_site_share": 1.0}),
        "quorum": some(attempts=st.integers(2, 100), mandatory_sites=st.lists(sites, max_size=3)),
    },
    SwarmRecipe: {"min_sites": st.integers(3, 128)},
}
# What needs single updates or cases is not allowed, nor a time limit, after which sites would train unlike.
hidden = {
    **{name: field for name, field in TRAINING_FIELDS.items() if name != "quorum"},
    "min_sites": st.integers(3, 32),
    "quorum": some(deadline_minutes=minutes, grace_minutes=minutes, attempts=st.integers(1, 100)),
    "aggregation": st.just({"max_site_share": 1.0}),
    "screening": st.fixed_dictionaries(
        {"max_norm_ratio": st.none()}, optional={"max_case_change": number(0, 1)}
    ),
}
# The limits of updates grow with the steps of a round, and a sum has room for a million.
little = st.one_of(
    st.builds(lambda steps: {"local_steps": steps}, st.integers(1, 50)),
    st.builds(lambda epochs: {"local_steps": None, "local_epochs": epochs}, number(1e-3, 0.5)),
)
full_weight = {"full_weight_cases": st.integers(1, 100), "most_sites": st.integers(32, 128)}
secure = recipe_of(
    SecAggRecipe,
    {
        **hidden,
        "algorithm": some(
            ring_bits=st.sampled_from([16, 32]),
            bound_ratio=st.none() | number(1e-3, 1e4),
            max_norm=st.none() | number(1e-3, 1e6),
            **full_weight,
        ),
    },
    learning=learning_by(little),
)
# With noise in the sum, no score of a round leaves, so none can be compared.
noisy = recipe_of(
    SecAggRecipe,
    {name: field for name, field in hidden.items() if name != "rollback_margin"},
    learning=learning_by(little),
    rollback_margin=st.none(),
    algorithm=st.fixed_dictionaries(
        {"hospital_noise": number(0.1, 5), "max_norm": number(0.01, 100)},
        optional={"hospital_noise_sites": st.integers(1, 8), **full_weight},
    ),
)
private = recipe_of(
    DpSgdRecipe,
    {
        **{name: field for name, field in TRAINING_FIELDS.items() if name != "rollback_margin"},
        "algorithm": st.one_of(
            some(
                epsilon=st.none() | number(0.01, 10),
                delta=st.none() | number(1e-10, 0.01),
                clip=number(1e-4, 1e4),
                samples_per_patient=st.integers(2, 64),
                trainable=st.sampled_from(["all", "last_layers", "norms"]),
                last_layers=st.integers(1, 1000),
            ),
            st.fixed_dictionaries(
                {"level": st.just("reconstruction")}, optional={"epsilon": number(10.1, 1000)}
            ),
        ),
    },
    learning=learning_by(steps_only),
)
training = st.one_of(
    *(
        recipe_of(
            kind,
            {**TRAINING_FIELDS, **excluded.get(kind, {}), "algorithm": some(**settings)},
            learning=affine if kind is FedBNRecipe else learning,
        )
        for kind, settings in algorithms.items()
    )
)
readiness = recipe_of(ReadinessRecipe, {**common, "timeout_minutes": minutes}, learning=learning)
statistics = recipe_of(
    StatisticsRecipe,
    {
        **common,
        "min_count": st.integers(1, 1_000_000),
        "max_bins_percent": st.none() | number(0.1, 100),
        "wait_minutes": number(0, 525_600),
    },
)
evaluated = st.lists(
    st.fixed_dictionaries({"name": names, "digest": st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True)}),
    max_size=20,
    unique_by=lambda one: one["name"],
)
evaluation = recipe_of(
    EvaluationRecipe,
    {**common, "models": evaluated, "min_patients": st.integers(1, 1_000_000), "timeout_minutes": minutes},
    learning=learning,
)
any_recipe = st.one_of(training, secure, noisy, private, readiness, statistics, evaluation)


def largest_recipes() -> list[JobRecipe]:
    """One of each kind, with every part that can be left out."""
    job_id = str(uuid.UUID(int=1, version=4))
    given = {
        FedAvgRecipe: {
            "admission": {},
            "rollback_margin": 0.1,
            "gpus_per_site": 1,
            "initial": INITIAL,
            "resume": job_id,
            "learning": {"task": "brain_tumor"},
        },
        ReadinessRecipe: {"timeout_minutes": 10.0, "learning": {"task": "brain_tumor"}},
        StatisticsRecipe: {"max_bins_percent": 10.0},
        EvaluationRecipe: {
            "models": [{"name": "final", "digest": f"sha256:{'1' * 64}"}],
            "min_patients": 7,
            "learning": {"task": "brain_tumor"},
        },
    }
    return [kind.from_values({"name": "job", **values}, source="a test") for kind, values in given.items()]
