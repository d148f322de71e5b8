from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation.flare import Engine
from learning.tiny import CPU, LEARNING, site
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import LOCAL_ONLY, REPORT_META
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.evaluator import score_cases
from consilium.learning.model_file import load_model, save_model
from consilium.learning.network_state import initial_weights
from consilium.learning.weights import Weights
from consilium.local_training.run import train
from consilium.local_training.sites import folder_sites
from consilium.participant.site_data import SiteData, prepare_site
from consilium.recipes.catalog import build_recipe
from consilium.records.federation import BaselineRecord, SiteReport
from consilium.report.training.patients import prepare_sites
from consilium.simulation import baselines
from consilium.simulation.baselines import train_baselines
from consilium.tasks import get_task
from consilium.tasks.learning_settings import MIN_LEARNING_RATE

TASK = get_task(LEARNING.task)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SiteData]:
    folder = tmp_path_factory.mktemp("hospitals")
    return {
        "north": prepare_site(
            site(
                folder / "north", ["P1", "P2", "P3", "P4", "P5"], validation_fraction=0.0, test_fraction=0.4
            ),
            LEARNING,
        ),
        "clinic": prepare_site(site(folder / "clinic", ["P6", "P7"], role="evaluates"), LEARNING),
    }


@contextmanager
def threads(workers: int, initializer: Callable[..., None], arguments: tuple[Any, ...]) -> Iterator[Executor]:
    """Train in this process: a new one imports torch first. The integration test below has real workers."""
    with ThreadPoolExecutor(workers, initializer=initializer, initargs=arguments) as pool:
        yield pool


@pytest.fixture(scope="module")
def record(sites: dict[str, SiteData], tmp_path_factory: pytest.TempPathFactory) -> BaselineRecord:
    model = tmp_path_factory.mktemp("result") / "model.safetensors"
    save_model(model, initial_weights(TASK, LEARNING, seed=9), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "worker_pool", threads)
        return train_baselines(sites, LEARNING, 1, final_model=model, min_counts={"north": 1}, workers=1)


@pytest.mark.long
def test_a_hospital_s_own_model_is_compared_with_the_federation_s_on_its_patients(
    sites: dict[str, SiteData], record: BaselineRecord
) -> None:
    assert record.gains.keys() == record.patient_gains.keys() == {"north"}  # a clinic has no own model
    gain = record.gains["north"]
    final = initial_weights(TASK, LEARNING, seed=9)
    rows = score_cases(TASK, LEARNING, final, sites["north"].test, CPU)
    federated = get_task("brain_tumor").evaluation.summarize([row for row in rows if row])
    assert gain.patients == len(rows) == 2
    assert gain.federated == pytest.approx(federated, abs=1e-5)
    assert gain.local == pytest.approx(record.local["north"]["north"], abs=1e-5)
    assert gain.gains["dice"].mean == pytest.approx(gain.federated["dice"] - gain.local["dice"], abs=1e-6)
    patients = record.patient_gains["north"]
    assert sum(patients) / 2 == pytest.approx(gain.gains["dice"].mean, abs=1e-6)
    assert patients == sorted(patients)


def test_two_patients_have_no_interval_and_the_record_survives_the_disk(
    record: BaselineRecord, tmp_path: Path
) -> None:
    assert record.gains["north"].gains["dice"].low is None
    assert BaselineRecord.model_validate_json(record.model_dump_json()) == record


@pytest.mark.integration
def test_a_simulation_and_a_job_s_sites_make_the_same_local_only_model(tmp_path: Path) -> None:
    """`--compare` and the job's `local_only` are one comparison: same start, steps, patches and patients."""
    hospital = site(tmp_path, ["P1", "P2", "P3", "P4", "P5"], validation_fraction=0.0, test_fraction=0.4)
    federated = initial_weights(TASK, LEARNING, seed=9)
    save_model(model := tmp_path / "model.safetensors", federated, {})
    sites = prepare_sites({"north": hospital}, LEARNING)
    simulated = train_baselines(sites, LEARNING, 2, final_model=model, min_counts={}, workers=1)

    engine = Engine(tmp_path / "workspace")  # of a site named north
    properties = {"consilium": hospital.model_dump(mode="json", exclude_defaults=True)}
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)
    task = FLModel(
        params_type=ParamsType.FULL, params=dict(federated), current_round=2, total_rounds=2, meta={}
    )
    executor = SiteExecutor(LEARNING.model_dump(mode="json"))
    reply = executor.execute(LOCAL_ONLY, FLModelUtils.to_shareable(task), engine.context, Signal())
    report = SiteReport.model_validate(FLModelUtils.from_shareable(reply).meta[REPORT_META])
    assert report.gain == simulated.gains["north"]
    assert report.steps == simulated.local_steps


@pytest.mark.long
def test_what_a_federation_that_starts_from_a_model_is_compared_with_starts_from_it_too(
    sites: dict[str, SiteData], record: BaselineRecord, tmp_path: Path
) -> None:
    """With steps too small to change a score, both models score what the start does."""
    start = initial_weights(TASK, LEARNING, seed=9)
    save_model(model := tmp_path / "model.safetensors", start, {})
    learning = LEARNING.model_copy(update={"learning_rate": MIN_LEARNING_RATE})
    found = train_baselines(
        sites, learning, 1, final_model=model, min_counts={"north": 1}, workers=1, start=start
    )
    assert found.gains["north"].gains["dice"].mean == pytest.approx(0, abs=1e-4)
    assert abs(record.gains["north"].gains["dice"].mean) > 1e-3
    assert found.pooled["north"] == pytest.approx(found.local["north"]["north"], abs=1e-4)


@pytest.mark.long
def test_training_alone_gives_the_very_models_that_a_federation_is_compared_with(tmp_path: Path) -> None:
    folders = {}
    for number, name in enumerate(("north", "south")):
        patients = [f"P{10 * number + one}" for one in range(5)]
        folders[name] = site(tmp_path / name, patients).dataset
    changes = {"rounds": 2, "learning": LEARNING.model_dump(mode="json")}
    recipe = build_recipe("brain_tumor_fedavg", changes)
    settings = folder_sites(folders, tmp_path / "study", seed=LEARNING.seed, min_patients=1)
    save_model(model := tmp_path / "model.safetensors", initial_weights(TASK, LEARNING, seed=9), {})
    found: dict[str, Weights] = {}
    train_baselines(
        prepare_sites(settings, LEARNING),
        LEARNING,
        2,
        final_model=model,
        min_counts={},
        workers=1,
        on_model=lambda name, plan, weights: found.update({name: weights}),
    )
    for name, sites in ("north", {"north": folders["north"]}), ("pooled", folders):
        one_thread = ComputeSettings(cpu_threads=1)
        done = train(recipe, sites, tmp_path / f"alone_{name}", min_patients=1, compute=one_thread)
        weights, _ = load_model(done.folder / "model.safetensors")
        np.testing.assert_equal(weights, found[name])
    assert found.keys() == {"north", "south", "pooled"}
    assert any((found["north"][name] != found["south"][name]).any() for name in found["north"])
