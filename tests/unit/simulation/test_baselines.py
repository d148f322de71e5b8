from pathlib import Path

import pytest
from learning.tiny import CPU, LEARNING, site

from consilium.learning.evaluator import evaluate
from consilium.learning.model_file import save_model
from consilium.learning.network_weights import initial_weights
from consilium.learning.participant import SiteData, prepare_site
from consilium.report.records import BaselineRecord
from consilium.simulation.baselines import train_baselines
from consilium.tasks import get_task
from consilium.tasks.metrics import summarize

TASK = get_task(LEARNING.task)


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SiteData]:
    folder = tmp_path_factory.mktemp("hospitals")
    return {
        "north": prepare_site(site(folder / "north", ["P1", "P2", "P3", "P4", "P5"]), LEARNING),
        "clinic": prepare_site(site(folder / "clinic", ["P6", "P7"], role="evaluates"), LEARNING),
    }


@pytest.fixture(scope="module")
def record(sites: dict[str, SiteData], tmp_path_factory: pytest.TempPathFactory) -> BaselineRecord:
    model = tmp_path_factory.mktemp("result") / "model.safetensors"
    save_model(model, initial_weights(TASK, LEARNING.network, seed=9), {})
    return train_baselines(sites, LEARNING, 1, final_model=model, min_counts={"north": 1}, workers=1)


def test_a_hospital_s_own_model_is_compared_with_the_federation_s_on_its_patients(
    sites: dict[str, SiteData], record: BaselineRecord
) -> None:
    assert record.gains.keys() == record.patient_gains.keys() == {"north"}  # a clinic has no own model
    gain = record.gains["north"]
    final = initial_weights(TASK, LEARNING.network, seed=9)
    rows = evaluate(TASK, LEARNING, final, sites["north"].validation, CPU)
    federated = summarize([row for row in rows if row])
    assert gain.patients == len(rows) == 2
    assert gain.federated == pytest.approx(federated, abs=1e-5)
    assert gain.local == pytest.approx(record.local["north"]["north"], abs=1e-5)
    assert gain.gains["dice"].mean == pytest.approx(gain.federated["dice"] - gain.local["dice"])
    patients = record.patient_gains["north"]
    assert sum(patients) / 2 == pytest.approx(gain.gains["dice"].mean)
    assert patients == sorted(patients)


def test_two_patients_have_no_interval_and_the_record_survives_the_disk(
    record: BaselineRecord, tmp_path: Path
) -> None:
    assert record.gains["north"].gains["dice"].low is None
    assert BaselineRecord.model_validate_json(record.model_dump_json()) == record
