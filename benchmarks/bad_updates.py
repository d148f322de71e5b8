"""What one of ten hospitals can do to the others' model with sign-flipped updates, ten times as long.

Ten synthetic hospitals train with the package's controller and executors, all in one process, which takes the
place of FLARE's transport; the attack is put on what arrives at the controller. Every run has the same
patients and the same seed. The first, in which nobody attacks, is what the others are compared with; the
second is plain federated averaging without any screening.

Then two ratios of honest updates' lengths, which screening must not take for an attack: the longest to the
median of a round, and that of a site that has lost its optimizer's state to the same site with it.

    python benchmarks/bad_updates.py [FOLDER]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.unit.federation.flare import Engine  # noqa: E402
from tests.unit.federation.rehearsal import Rehearsal  # noqa: E402

from consilium.aggregation.rules import euclidean_norm  # noqa: E402
from consilium.federation.rounds.persistor import WeightsPersistor  # noqa: E402
from consilium.federation.site.executor import SiteExecutor  # noqa: E402
from consilium.learning.network_state import initial_weights  # noqa: E402
from consilium.learning.schedule import Schedule  # noqa: E402
from consilium.learning.weights import Weights, difference  # noqa: E402
from consilium.participant.participant import Participant  # noqa: E402
from consilium.participant.site_data import prepare_site  # noqa: E402
from consilium.participant.site_settings import SiteSettings  # noqa: E402
from consilium.provisioning.policy import PROPERTY  # noqa: E402
from consilium.records.federation import FederationRecord  # noqa: E402
from consilium.tasks import get_task  # noqa: E402
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings  # noqa: E402
from consilium.tasks.brain_tumor.synthetic import (  # noqa: E402
    DEMO_COHORT,
    CohortSpec,
    TumorMix,
    VoxelGrid,
    make_cohort,
)

SITES, CASES, ROUNDS, FACTOR = 10, 7, 8, -10
ATTACKER = "site_03"
LEARNING = BrainTumorSettings(spacing_mm=4.0, patch_voxels=(32, 40, 32), local_steps=16)
OFF: Mapping[str, Any] = {"screening": {"max_norm_ratio": None}}
RUNS: Mapping[str, tuple[bool, Mapping[str, Any]]] = {
    "nobody attacks, mean": (False, {}),
    "attack, mean, norms not compared": (True, OFF),
    "attack, mean": (True, {}),
    **{
        f"attack, {rule}, norms not compared": (True, {**OFF, "aggregation": {"rule": rule}})
        for rule in ("median", "trimmed_mean", "clipped_mean")
    },
}


class Hospital:
    """One hospital's executor, with the workspace that FLARE would give it."""

    def __init__(self, folder: Path, settings: SiteSettings, attack: bool) -> None:
        self._engine = Engine(folder)
        properties = {PROPERTY: settings.model_dump(mode="json", exclude_defaults=True)}
        context = self._engine.context
        context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)
        self._executor = SiteExecutor(LEARNING.model_dump(mode="json"))
        self._attack = attack

    def __call__(self, task: str, model: FLModel) -> Shareable:
        """Carry out a task; an attacker's update is changed on its way."""
        request = FLModelUtils.to_shareable(model)
        answer = self._executor.execute(task, request, self._engine.context, Signal())
        if not self._attack:
            return answer
        changed = FLModelUtils.from_shareable(answer)
        if changed.params:
            changed.params = {name: FACTOR * value for name, value in changed.params.items()}
        return FLModelUtils.to_shareable(changed)


def settings_of(hospitals: Mapping[str, Path], folder: Path) -> dict[str, SiteSettings]:
    """Return what each hospital decides: one thread each, and a cache and a split that all runs share."""
    return {
        name: SiteSettings(
            dataset=path,
            cache_dir=folder / "cache" / name,
            state_dir=folder / "state" / name,
            split_salt="0",
            min_training_patients=1,
            cpu_threads=1,
            device="cpu",
        )
        for name, path in hospitals.items()
    }


def train(name: str, hospitals: Mapping[str, Path], folder: Path) -> tuple[str, FederationRecord]:
    """Train one federation to its end; returns its record."""
    logging.disable(logging.CRITICAL)
    attacked, settings = RUNS[name]
    place = folder / "runs" / name.replace(" ", "_").replace(",", "")
    sites: dict[str, Callable[[str, FLModel], Shareable]] = {
        site: Hospital(place / site, decided, attacked and site == ATTACKER)
        for site, decided in settings_of(hospitals, folder).items()
    }
    engine = Engine(
        place / "server", {"persistor": WeightsPersistor(LEARNING.model_dump(mode="json"))}, list(sites)
    )
    controller = Rehearsal(
        ROUNDS, SITES // 2, LEARNING.model_dump(mode="json"), quorum={"attempts": 1}, **settings
    )
    controller.sites = sites
    controller.start_controller(engine.context)
    controller.control_flow(Signal(), engine.context)
    return name, FederationRecord.load(engine.run_folder)


def describe(record: FederationRecord, unharmed: float | None) -> str:
    """Return the final Dice, its difference to the run without an attack, and the attacker's outcomes."""
    outcomes = ", ".join(one.sites[ATTACKER].outcome for one in record.rounds)
    if not record.final_scores:
        return f"no final model: {record.reason} ({outcomes})"
    dice = final_dice(record)
    difference = "" if unharmed is None else f" ({dice - unharmed:+.3f})"
    return f"final Dice {dice:.3f}{difference}; {ATTACKER}: {outcomes}"


def final_dice(record: FederationRecord) -> float:
    """Return the mean over all ten hospitals; the attacker's patients are as good as the others'."""
    return statistics.fmean(scores["dice"] for scores in record.final_scores.values())


def spread(record: FederationRecord) -> float:
    """Return how many times as long as the median the longest update of a round was, at most."""
    rounds = [[one.update_norm for one in done.sites.values() if one.update_norm] for done in record.rounds]
    return max(max(norms) / statistics.median(norms) for norms in rounds)


def lost_state(settings: SiteSettings) -> float:
    """Return how many times as far a site moves without its optimizer's state, at most over the rounds."""
    data = prepare_site(settings, LEARNING)
    keeping = Participant(data, LEARNING, settings)
    weights: Weights = initial_weights(get_task(LEARNING.task), LEARNING, LEARNING.seed)
    ratios = []
    for index in range(ROUNDS):
        schedule = Schedule(index, ROUNDS)
        fresh = Participant(data, LEARNING, settings).train(weights, schedule).weights
        trained = keeping.train(weights, schedule).weights
        lengths = [euclidean_norm(list(difference(new, weights).values())) for new in (fresh, trained)]
        ratios.append(lengths[0] / lengths[1])
        weights = trained
    return max(ratios)


def main() -> None:
    """Make the hospitals, train with and without the attack, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default="runs/bad_updates", help="for hospitals and runs"
    )
    folder = parser.parse_args().folder.resolve()
    first = DEMO_COHORT.hospitals
    spec = CohortSpec(
        hospitals=tuple(
            first[index % len(first)].model_copy(
                update={"name": f"site_{index:02d}", "cases": CASES, "tumor_mix": TumorMix()}
            )
            for index in range(SITES)
        ),
        grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
    )
    hospitals = make_cohort(spec, folder / "hospitals", workers=2).hospitals
    decided = settings_of(hospitals, folder)
    for settings in decided.values():
        prepare_site(settings, LEARNING)
    records: dict[str, FederationRecord] = {}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for future in [pool.submit(train, name, hospitals, folder) for name in RUNS]:
            name, records[name] = future.result()
            baseline = records["nobody attacks, mean"]
            print(f"{name}: {describe(records[name], final_dice(baseline))}", flush=True)
    print(f"honest sites, longest update to the median of its round: at most {spread(baseline):.1f}")
    ratio = lost_state(decided["site_00"])
    print(f"a site without its optimizer's state to the same with it: at most {ratio:.1f}")


if __name__ == "__main__":
    main()
