"""A job by secure aggregation in the simulator: the model of plain averaging, and no update at the server."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from consilium.learning.model_file import load_model
from consilium.privacy.ledger import LEDGER_FILE
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.secagg.identity import IDENTITY_FILE

from .studies import SMALL, simulate

pytestmark = pytest.mark.integration

SITES = ("north", "south", "careless")
SETTINGS = {**SMALL, "min_sites": 3, "rounds": 1}


def study(folder, hospitals, name, **settings):
    job = export_job(build_recipe(f"brain_tumor_{name}", {**SETTINGS, **settings}), folder / "jobs")
    return simulate(job, {site: hospitals[site] for site in SITES}, folder / name)


@pytest.fixture(scope="module")
def secure(hospitals, tmp_path_factory):
    return study(tmp_path_factory.mktemp("secure"), hospitals, "fedavg_secagg")


@pytest.fixture(scope="module")
def plain(hospitals, tmp_path_factory):
    return study(tmp_path_factory.mktemp("plain"), hospitals, "fedavg", **{"aggregation.max_site_share": 1.0})


def model(study):
    return load_model(study.out / "result/model.safetensors")[0]


def test_the_model_is_that_of_plain_averaging(secure, plain):
    assert secure.code == 0, secure.stderr
    assert plain.code == 0, plain.stderr
    one, other = model(secure), model(plain)
    assert one.keys() == other.keys()
    differences = np.concatenate([np.abs(one[name] - other[name]).ravel() for name in one])
    changes = max(float(np.abs(value).max()) for value in other.values())
    assert differences.max() < 2e-6 * max(changes, 1.0)


def test_the_record_shows_every_step_and_no_norm(secure):
    (first,) = secure.federation["rounds"]
    assert {name for name, answers in first["questions"].items() if len(answers) == 3} == {
        "advertise_keys",
        "distribute_shares",
        "confirm_survivors",
        "reveal_shares",
    }
    assert {one["outcome"] for one in first["sites"].values()} == {"trained"}
    assert {one["update_norm"] for one in first["sites"].values()} == {None}


def test_no_record_or_log_of_the_server_has_a_site_s_cases_loss_or_validation_score(secure):
    record = secure.federation
    (first,) = record["rounds"]
    said = [record["preparation"], first["sites"], record["validation_sites"]]
    for one in (answer["report"] for sites in said for answer in sites.values()):
        assert [one[name] for name in ("train_cases", "validation_cases", "loss")] == [None] * 3
    assert (first["summed"]["sites"], first["summed"]["clipped"]) == (3, 0)
    assert first["summed"]["cases"] > 0
    assert first["summed"]["loss"] > 0
    assert set(record["initial_scores"]) == set(first["scores"]) == {"all sites"}


def test_each_site_has_an_identity_that_only_it_can_read(secure):
    for site in SITES:
        path = secure.out / "simulation" / site / "local" / IDENTITY_FILE
        assert path.stat().st_mode & 0o077 == 0
    assert not list(secure.server.rglob(IDENTITY_FILE))


NOISE = {"algorithm.hospital_noise": 0.05, "algorithm.max_norm": 0.5, "rollback_margin": None}


@pytest.fixture(scope="module")
def noisy(hospitals, tmp_path_factory):
    return study(tmp_path_factory.mktemp("noisy"), hospitals, "fedavg_secagg", **NOISE)


@pytest.mark.long
def test_the_sum_has_the_noise_and_no_loss_or_score_of_a_round_leaves(noisy):
    assert noisy.code == 0, noisy.stderr
    (first,) = noisy.federation["rounds"]
    for one in first["sites"].values():
        assert one["outcome"] == "trained"
        assert one["report"]["loss"] is None
        assert one["report"]["validation_cases"] is None
        assert one["report"]["hospital_noise"] == pytest.approx(0.05, rel=1e-3)
    assert not any(first["scores"].values())
    values = np.concatenate([value.ravel() for value in model(noisy).values()])
    assert np.isfinite(values).all()


@pytest.mark.long
def test_every_hospital_paid_for_itself_before_it_sent(noisy):
    for site in SITES:
        (found,) = (noisy.out / "simulation").rglob(f"{site}/**/{LEDGER_FILE}")
        with closing(sqlite3.connect(f"file:{found}?mode=ro", uri=True)) as connection:
            rows = [json.loads(row[0]) for row in connection.execute("SELECT content FROM entries")]
        payments = [row for row in rows if row.get("unit") == "hospital"]
        assert [(row["round_index"], row["attempt"]) for row in payments] == [(0, 1)]
        (mechanism,) = payments[0]["mechanisms"]
        assert mechanism["noise_multiplier"] == pytest.approx(0.05, rel=1e-3)
        assert (mechanism["sampling_rate"], mechanism["steps"]) == (1.0, 1)
