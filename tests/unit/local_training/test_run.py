"""Training without a federation: what is trained on what, what resumes, and what is rejected."""

import json
from pathlib import Path

import pytest
from data.hospital import Hospital
from learning.tiny import LEARNING
from numpy.testing import assert_equal
from prediction.conftest import one_layer as one_layer

from consilium.errors import ConfigurationError
from consilium.learning.model_file import load_model
from consilium.learning.network_state import initial_weights
from consilium.local_training import run
from consilium.local_training.run import train
from consilium.participant.participant import Participant
from consilium.participant.register_files import open_register
from consilium.participant.site_data import prepare_site
from consilium.prediction.trained_model import TrainedModel
from consilium.recipes.catalog import build_recipe
from consilium.simulation.display import Display
from consilium.tasks import get_task

JOB = "brain_tumor_fedavg"
CHANGES = {
    "rounds": 3,
    **{
        f"learning.{name}": getattr(LEARNING, name)
        for name in ("spacing_mm", "batch_size", "local_steps", "seed")
    },
    "learning.patch_voxels": list(LEARNING.patch_voxels),
}
PATIENTS = tuple(f"P{number}" for number in range(1, 9))


def cases(folder: Path, patients=PATIENTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for patient in patients:
        Hospital(folder).brats(patient)
    return folder


@pytest.fixture
def north(tmp_path):
    return cases(tmp_path / "north")


@pytest.fixture
def trained(north, tmp_path):
    """Train with few patients, however often it is asked for."""

    def trained(sites=None, out="out", *, changes=None, **options):
        wanted = {**CHANGES, **(changes or {})}
        given = sites or {"north": north}
        return train(JOB, given, tmp_path / out, changes=wanted, min_patients=1, **options)

    return trained


@pytest.fixture
def rounds_trained(monkeypatch):
    """The rounds that were trained, in order."""
    numbers, of_participant = [], Participant.train

    def note(self, weights, schedule, **options):
        numbers.append(schedule.round_index + 1)
        return of_participant(self, weights, schedule, **options)

    monkeypatch.setattr(Participant, "train", note)
    return numbers


def weights_of(done, name="model.safetensors"):
    return load_model(done.folder / name)[0]


@pytest.mark.long
def test_one_folder_gives_a_local_only_model_that_is_validated_and_tested(trained):
    done = trained()
    record, model = done.record, TrainedModel.load(done.folder, "final")
    assert (record.kind, record.status, record.job) == ("local-only", "finished", JOB)
    sets = record.sites["north"]
    assert sets.train + sets.validation + sets.test == len(PATIENTS)
    assert min(sets.train, sets.validation, sets.test) >= 1
    assert [one.number for one in record.rounds] == [1, 2, 3]
    assert all(one.loss and one.scores.keys() == {"north"} for one in record.rounds)
    assert record.final.keys() == record.best.keys() == {"north"}
    assert (model.round, model.job, model.standalone.kind) == (3, JOB, "local-only")
    assert model.standalone.sites == ("north",)
    best = TrainedModel.load(done.folder, "best")
    by_round = {one.number: one.scores["north"]["dice"] for one in record.rounds}
    assert by_round[best.round] == max(by_round.values())
    assert best.round == record.best_round


def test_several_folders_give_a_pooled_model_of_as_many_samples_a_step(trained, north, tmp_path):
    sites = {"north": north, "south": cases(tmp_path / "south", ["Q1", "Q2", "Q3", "Q4"])}
    done = trained(sites, evaluators=["south"])
    assert (done.record.kind, done.record.sites["south"].train) == ("pooled", 0)
    assert TrainedModel.load(done.folder).standalone.sites == ("north",)  # nobody was trained on at the other
    assert done.record.final.keys() == {"north", "south"}
    both = trained(sites, "both")
    model = TrainedModel.load(both.folder)
    assert model.learning.batch_size == 2 * LEARNING.batch_size
    assert model.standalone.split is None


class Stopped(Exception):
    pass


class StoppingDisplay(Display):
    """Ends the process, as it were, in the middle of a round."""

    def show(self, line):
        if line.startswith("round 3 of 3, step 1"):
            raise Stopped


def test_a_training_that_was_killed_resumes_with_the_same_result(trained, rounds_trained):
    whole = trained(out="whole")
    rounds_trained.clear()
    with pytest.raises(Stopped):
        trained(display=StoppingDisplay())
    rounds_trained.clear()
    resumed = trained()
    assert rounds_trained == [3]
    for name in ("model.safetensors", "best_model.safetensors"):
        assert_equal(weights_of(resumed, name), weights_of(whole, name))
    known = {"status", "best_round", "final", "best", "sites"}
    assert resumed.record.model_dump(include=known) == whole.record.model_dump(include=known)
    assert [one.scores for one in resumed.record.rounds] == [one.scores for one in whole.record.rounds]
    assert not (resumed.folder.parent / "rounds").exists()


@pytest.mark.long
def test_a_round_that_was_trained_and_not_recorded_is_not_trained_again(trained, rounds_trained, monkeypatch):
    whole, keep = trained(out="whole"), run._Training._keep_round

    def keep_first(self, number, weights, loss):
        if number == 2:
            raise Stopped
        keep(self, number, weights, loss)

    with monkeypatch.context() as patch:
        patch.setattr(run._Training, "_keep_round", keep_first)
        with pytest.raises(Stopped):
            trained()
    rounds_trained.clear()
    resumed = trained()
    assert rounds_trained == [3]
    assert [one.scores for one in resumed.record.rounds] == [one.scores for one in whole.record.rounds]
    assert_equal(weights_of(resumed), weights_of(whole))


def test_the_same_command_again_trains_nothing(trained, rounds_trained):
    first = trained()
    rounds_trained.clear()
    assert trained().record == first.record
    assert rounds_trained == []


@pytest.mark.long
@pytest.mark.parametrize("change", [pytest.param("setting", marks=pytest.mark.long), "patient", "model"])
def test_another_training_in_the_same_folder_starts_from_the_beginning(
    trained, rounds_trained, north, change
):
    first = trained()
    rounds_trained.clear()
    if change == "patient":
        cases(north, ["P9"])
    if change == "model":
        (first.folder / "model.safetensors").unlink()
    trained(changes={"learning.seed": 9} if change == "setting" else None)
    assert rounds_trained == [1, 2, 3]


@pytest.mark.long
def test_a_training_starts_from_a_model_and_says_so(trained):
    first = trained()
    second = trained(
        out="second", initial=first.folder, changes={"rounds": 1, "learning.learning_rate": 1e-6}
    )
    model = TrainedModel.load(second.folder, "final")
    assert [(one.name, one.round) for one in model.origin] == [(JOB, first.record.best_round)]
    start = weights_of(first, "best_model.safetensors")
    near = {name: abs(value - start[name]).max() for name, value in weights_of(second).items()}
    drawn = initial_weights(get_task("brain_tumor"), model.learning, LEARNING.seed)
    far = {name: abs(value - drawn[name]).max() for name, value in weights_of(second).items()}
    assert max(near.values()) < 1e-3 < max(far.values())


@pytest.fixture
def kit(tmp_path, north):
    """A hospital's kit, as far as it says where its cases are."""
    folder = tmp_path / "kit"
    for part in ("startup", "local"):
        (folder / part).mkdir(parents=True)
    server = {"name": "consilium", "service": {"target": "localhost:8002"}}
    start = {"servers": [server], "client": {"fqsn": "north"}}
    (folder / "startup/fed_client.json").write_text(json.dumps(start))
    site = {"dataset": str(north), "min_training_patients": 1, "cpu_threads": 1}
    scope = {"name": "public", "properties": {"consilium": site}}
    (folder / "local/privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "public"}))
    return folder


@pytest.mark.long
def test_a_kit_s_patients_are_in_the_sets_of_its_jobs(kit, tmp_path):
    from consilium.local_training.sites import kit_site

    done = train(JOB, kit, tmp_path / "out", changes=CHANGES)
    (site,) = kit_site(kit, tmp_path / "out", "brain_tumor").values()
    job = prepare_site(site, build_recipe(JOB, CHANGES).settings.learning)
    sets = done.record.sites["north"]
    assert (sets.train, sets.validation, sets.test) == (len(job.train), len(job.validation), len(job.test))
    with open_register(site) as register:
        assert TrainedModel.load(done.folder).standalone.split == register.fingerprint == job.split
    assert (kit / "site_state").is_dir()


def test_nothing_is_written_into_the_folder_of_a_kit_s_cases(kit, north):
    with pytest.raises(ConfigurationError, match="lies in the dataset folder"):
        train(JOB, kit, north / "out", changes=CHANGES)
    assert not (north / "out").exists()


@pytest.mark.parametrize("name", ["result", "state", "rounds"])
def test_files_of_others_in_the_folder_named_for_results_stay(north, tmp_path, name):
    thesis = tmp_path / "out" / name / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other files than a training without a federation"):
        train(JOB, {"north": north}, tmp_path / "out", changes=CHANGES)
    assert thesis.read_text() == "mine"


@pytest.mark.parametrize(
    ("job", "sites", "reason"),
    [
        ("brain_tumor_stats", None, r"trains nothing \(kind of job: statistics\); name one that trains"),
        ("brain_tumor_fedavk", None, "no job is named 'brain_tumor_fedavk'"),
        ("jobs/gone", None, "there is no folder jobs/gone"),
        (JOB, {}, "no site is given"),
        (JOB, {"north": "/gone"}, "site north: /gone is not a folder"),
        (JOB, "/gone", "/gone"),
    ],
)
def test_what_can_t_be_trained_is_named(job, sites, reason, north, tmp_path):
    with pytest.raises(ConfigurationError, match=reason):
        train(job, {"north": north} if sites is None else sites, tmp_path / "out")
    assert not (tmp_path / "out/result").exists()


def test_too_few_patients_are_named_with_the_remedy(tmp_path):
    few = cases(tmp_path / "few", ["P1", "P2"])
    with pytest.raises(
        ConfigurationError, match=r"few can't be trained on: .*min_training_patients(.|\n)*--min-patients"
    ):
        train(JOB, {"few": few}, tmp_path / "out", changes=CHANGES)


def test_a_round_of_few_samples_is_fixed_by_the_settings(tmp_path):
    north = cases(tmp_path / "north", [f"P{number}" for number in range(8)])
    with pytest.raises(ConfigurationError, match="too few patients a round") as error:
        train(JOB, {"north": north}, tmp_path / "out", changes={**CHANGES, "learning.local_steps": 1})
    assert "--set learning.local_steps=3" in str(error.value)
    assert "consilium check" not in str(error.value)


@pytest.mark.long
def test_a_damaged_record_is_an_error_with_its_fix(trained):
    done = trained()
    (done.folder / "training.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"delete .*result to train from the beginning"):
        trained()
