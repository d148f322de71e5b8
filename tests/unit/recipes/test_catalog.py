import json

import numpy as np
import pytest
from nvflare.fuel.utils import fobs

from consilium.errors import ConfigurationError
from consilium.federation.transport.array_pieces import ArrayPieces
from consilium.provisioning.communication import communication
from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.exported_job import export_job, read_exported_job
from consilium.settings import parse_changes


def test_changes_reach_the_job(tmp_path):
    changes = parse_changes(["rounds=7", "learning.learning_rate=2e-4", "learning.local_steps=5"])
    job = read_exported_job(export_job(build_recipe("brain_tumor_fedavg", changes), tmp_path))
    assert job.rounds == 7
    assert job.learning.learning_rate == 2e-4
    assert job.learning.local_steps == 5
    unchanged = CATALOG["brain_tumor_fedavg"].settings
    assert build_recipe("brain_tumor_fedavg").settings.rounds == unchanged["rounds"]


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ("round=3", "did you mean 'rounds'?"),
        ("local_steps=3", "did you mean 'learning.local_steps'?"),
        ("learning.local_epochs=1", "null for the other (seen: local_steps 16, local_epochs 1.0)"),
        ("learning.local_step=3", "did you mean 'local_steps'?"),
        ("lerning.local_steps=3", "did you mean 'learning'?"),
        ("rounds=many", "'many'"),
        ("rounds=0", "rounds"),
        ("min_sites=0", "min_sites"),
        ("name=../evil", "name"),
        ("name.first=x", "'name' is not a group of settings"),
        ("learning.local_epochs=1", "exactly one of local_steps and local_epochs"),
    ],
)
def test_a_setting_that_can_t_be_used_is_rejected_before_anything_is_written(change, reported):
    with pytest.raises(ConfigurationError) as caught:
        build_recipe("brain_tumor_fedavg", parse_changes([change]))
    assert reported in str(caught.value)


def test_a_job_that_resumes_another_says_so_to_flare(tmp_path):
    interrupted = "12345678-1234-4234-8234-123456789abc"
    folder = export_job(build_recipe("brain_tumor_fedavg", {"resume": interrupted}), tmp_path)
    assert json.loads((folder / "meta.json").read_text())["resume"] == interrupted
    folder = export_job(build_recipe("brain_tumor_fedavg"), tmp_path)
    assert "resume" not in json.loads((folder / "meta.json").read_text())


def test_what_is_no_job_id_can_t_be_resumed():
    with pytest.raises(ConfigurationError, match=r"resume: .*no job id"):
        build_recipe("brain_tumor_fedavg", {"resume": "../elsewhere"})


def test_an_unknown_job_names_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'brain_tumour'; known: brain_tumor_fedavg, .*jobs list"):
        build_recipe("brain_tumour")


def test_exporting_again_replaces_the_job_and_nothing_else(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    first = export_job(build_recipe("brain_tumor_fedavg"), tmp_path)
    (first / "leftover.json").write_text("{}")
    again = export_job(build_recipe("brain_tumor_fedavg", {"rounds": 9}), tmp_path)
    assert again == first
    assert not (again / "leftover.json").exists()
    assert read_exported_job(again).rounds == 9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brain_tumor_fedavg", "mine.txt"]


def test_a_folder_that_is_no_job_is_never_replaced(tmp_path):
    precious = tmp_path / "brain_tumor_fedavg" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    with pytest.raises(ConfigurationError, match="is not a FLARE job"):
        export_job(build_recipe("brain_tumor_fedavg"), tmp_path)
    assert precious.read_text() == "years of work"


def test_a_job_asks_for_no_more_sites_than_it_needs(tmp_path):
    job = export_job(build_recipe("brain_tumor_fedavg", {"min_sites": 3}), tmp_path)
    assert json.loads((job / "meta.json").read_text())["min_clients"] == 3


def test_a_site_asks_for_its_next_task_as_often_as_the_job_says(tmp_path):
    job = export_job(build_recipe("brain_tumor_fedavg", {"task_request_seconds": 7}), tmp_path)
    server = json.loads((job / "app/config/config_fed_server.json").read_text())
    assert server["server"]["task_request_interval"] == 7


def test_a_piece_of_a_model_goes_over_a_line_in_one_stretch(tmp_path):
    job = export_job(build_recipe("brain_tumor_fedavg"), tmp_path)
    pieces = ArrayPieces({"w": np.zeros(100_000, np.float32)}, piece_bytes(job))
    code, data, state = pieces.produce({"number": 0}, "north")
    answer = {"status": code, "state": state, "data": data, "cancel_capable": True}
    assert len(data[0]) > 100_000
    assert len(fobs.dumps(answer)) < communication("server")["streaming_chunk_size"]


def piece_bytes(job):
    (value,) = {
        json.loads((job / "app/config" / f"config_fed_{side}.json").read_text())["np_download_chunk_size"]
        for side in ("client", "server")
    }
    return value


def test_a_patch_is_three_numbers_or_one_for_all_three():
    changes = parse_changes(["learning.patch_voxels=32"])
    assert build_recipe("brain_tumor_fedavg", changes).settings.learning.patch_voxels == (32, 32, 32)


@pytest.mark.parametrize("value", ["[32, 32]", "large", "null", "true", "{}"])
def test_a_patch_of_anything_else_is_rejected_with_what_is_wanted(value):
    changes = parse_changes([f"learning.patch_voxels={value}"])
    with pytest.raises(ConfigurationError, match=r"patch_voxels: .*give one number, such as 32, or three"):
        build_recipe("brain_tumor_fedavg", changes)
