"""The function that simulates any kind of job: what it refuses at once, and what it hands on."""

from typing import ClassVar

import pytest
from bundle.conftest import write_model

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job, read_exported_job
from consilium.simulation import run
from consilium.simulation.run import simulate

SITES = {"north": "/data/north", "south": "/data/south"}


@pytest.mark.parametrize(
    ("job", "wish", "reason"),
    [
        ("brain_tumor_check", {"compare": True}, "trains nothing"),
        ("brain_tumor_stats", {"local_only": True}, "trains nothing"),
        ("brain_tumor_stats", {"evaluators": ["north"]}, "counts all patients"),
        ("brain_tumor_stats", {"initial": "model.safetensors"}, "leave --from out"),
    ],
)
def test_a_job_that_only_asks_is_not_asked_to_train(job, wish, reason, tmp_path):
    with pytest.raises(ConfigurationError, match=reason):
        simulate(build_recipe(job), SITES, tmp_path / "out", **wish)
    assert not (tmp_path / "out").exists()


class StudyStub:
    """Stands for a study: it notes what it was given."""

    given: ClassVar[dict] = {}

    def __init__(self, job, sites, out, **options):
        StudyStub.given = {"job": job, "sites": sites, "out": out, "name": job.name, **options}
        assert (job / "meta.json").is_file()

    def run(self):
        return StudyStub.given["out"] / "report/index.html"


@pytest.fixture
def given(monkeypatch):
    """What the study was given, as far as a simulation is asked for."""
    monkeypatch.setattr(run, "Study", StudyStub)
    monkeypatch.setattr(run, "load_record", lambda folder: ("record of", folder))
    return lambda: StudyStub.given


@pytest.fixture
def folders(tmp_path):
    """Two hospitals' folders."""
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    return {"north": str(tmp_path / "north"), "south": tmp_path / "south"}


def test_a_recipe_is_a_job_like_any_other_and_leaves_no_folder(given, folders, tmp_path):
    result = simulate(build_recipe("brain_tumor_fedavg"), folders, tmp_path / "out", evaluators=["south"])
    assert given()["name"] == "brain_tumor_fedavg"
    assert {name: site.role for name, site in given()["sites"].items()} == {
        "north": "trains",
        "south": "evaluates",
    }
    assert not given()["job"].exists()
    assert result.folder == tmp_path / "out/result"
    assert result.record == ("record of", result.folder)


def test_a_folder_may_be_a_text_and_stays(given, folders, tmp_path):
    folder = export_job(build_recipe("brain_tumor_fedavg"), tmp_path)
    simulate(str(folder), folders, str(tmp_path / "out"))
    assert given()["job"] == folder
    assert folder.is_dir()


def test_nothing_is_shown_unless_asked_for(given, folders, tmp_path, capfd):
    simulate(build_recipe("brain_tumor_fedavg"), folders, tmp_path / "out")
    given()["display"].say("the federation runs")
    given()["display"].show("round 1")
    assert capfd.readouterr() == ("", "")


def test_a_model_to_start_from_reaches_the_job_and_lies_where_the_study_looks_for_it(
    given, folders, tmp_path
):
    model = write_model(tmp_path / "model.safetensors", job="first job")
    seen = {}

    class Looking(StudyStub):
        def run(self):
            initial = read_exported_job(self.given["job"]).initial
            file = self.given["models"].find(initial.digest, "it")
            seen.update(origin=initial.origin, content=file.read_bytes())
            return super().run()

    run.Study = Looking  # `given` restores it
    simulate(build_recipe("brain_tumor_fedavg"), folders, tmp_path / "out", initial=model)
    assert seen["origin"][-1].name == "first job"
    assert seen["content"] == model.read_bytes()


def test_sites_that_do_not_have_the_model_do_not_train_alone_from_it(folders, tmp_path):
    wish = {"initial": write_model(tmp_path / "model.safetensors"), "local_only": True}
    with pytest.raises(ConfigurationError, match="compare in a simulation: `consilium simulate --compare`"):
        simulate(build_recipe("brain_tumor_fedavg"), folders, tmp_path / "out", **wish)
