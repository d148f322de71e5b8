"""What is known of the sites' patients is said before anything starts."""

import pytest

from consilium.data.sources import file as sources
from consilium.errors import ConfigurationError
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job, read_exported_job
from consilium.simulation.eligibility import require_enough_sites
from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, CohortSpec, make_cohort


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    scanner = DEMO_COHORT.hospitals[0].scanner
    spec = CohortSpec.model_validate(
        {
            "hospitals": [
                {"name": name, "layout": "brats2021", "cases": cases, "scanner": scanner}
                for name, cases in (("large", 6), ("small", 2), ("single", 1))
            ],
            "grid": {"shape": (38, 48, 38), "spacing_mm": 4.0},
        }
    )
    return make_cohort(spec, tmp_path_factory.mktemp("cohort")).hospitals


@pytest.fixture
def refusal(hospitals, tmp_path):
    """Ask for a job at sites; returns why it is refused, else the notes on sites that don't train."""

    def refusal(*names, folders=None, minimum=3, accepted=None, **settings):
        job = read_exported_job(export_job(build_recipe("brain_tumor_fedavg", settings), tmp_path / "jobs"))
        sites = {
            name: SiteSettings(
                dataset=(folders or hospitals)[name],
                cache_dir=tmp_path / "cache" / name,
                state_dir=tmp_path / "state" / name,
                split_salt="1",
                min_training_patients=minimum,
                accepted_findings=accepted,
            )
            for name in names
        }
        try:
            return require_enough_sites(sites, job, lambda line: None, keep=True)
        except ConfigurationError as error:
            return str(error)

    return refusal


def test_sites_with_enough_patients_may_start(refusal):
    assert refusal("large", "large", min_sites=1) == ()


def test_two_sites_of_which_one_has_two_patients_are_rejected_with_what_to_do(refusal):
    said = refusal("large", "small", min_sites=2)
    assert said.startswith("1 site can train, and min_sites is 2; nothing was started")
    assert "large: it can train, with 6 labeled cases of 6 patients" in said
    assert "small: its update would be of fewer than 3 patients" in said
    assert "2 labeled cases of 2 patients" in said
    assert "--min-patients 1" in said
    assert "--set min_sites=N" in said


def test_too_few_sites_are_no_matter_of_their_patients(refusal):
    said = refusal("large", "small", min_sites=3)
    assert said.startswith("2 sites are given, and the job needs 3 that train (min_sites)")
    assert "--site NAME=FOLDER" in said
    assert "--min-patients" not in said


def test_lower_limits_let_them_start(refusal):
    assert refusal("large", "small", minimum=1, min_sites=2) == ()
    (note,) = refusal("large", "small", min_sites=1)
    assert note.startswith("small will not train: its update would be of fewer than 3 patients")


def test_a_single_patient_trains_nobody(refusal):
    assert "single: one usable labeled patient" in refusal("large", "single", minimum=1, min_sites=2)


def test_a_mandatory_site_has_to_be_able_to_train(refusal):
    said = refusal("large", "small", min_sites=1, **{"quorum.mandatory_sites": ["small"]})
    assert said.startswith("1 site can train, without mandatory small")


def test_a_folder_that_can_t_be_used_is_named_with_the_reason(refusal, hospitals, tmp_path):
    (tmp_path / "empty").mkdir()
    said = refusal("large", "empty", folders={**hospitals, "empty": tmp_path / "empty"}, min_sites=2)
    assert f"empty: The dataset folder {tmp_path / 'empty'} is empty" in said


def test_accepted_findings_that_can_t_be_used_are_named_before_anything_starts(refusal, tmp_path):
    said = refusal("large", "large", accepted=tmp_path / "absent.csv")
    assert f"large: Accepted findings in {tmp_path / 'absent.csv'}" in said


def test_what_was_read_of_labels_is_kept_for_the_job(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_CLOCK_MARGIN_NS", -1)  # else nothing is kept of files just written
    refusal("small", min_sites=1)
    assert any(path.is_file() for path in (tmp_path / "cache/small").rglob("*"))
