import pytest
from federation.readiness import readiness
from report.statistics.records import record as statistics
from report.study import federation

from consilium.errors import ConfigurationError
from consilium.records.job_record import find_record, load_record


@pytest.fixture
def downloaded(tmp_path):
    """A job's folder as FLARE's download leaves it."""
    workspace = tmp_path / "results/job-1/workspace"
    workspace.mkdir(parents=True)
    (tmp_path / "results/job-1/job").mkdir()
    federation().save(workspace)
    return workspace


def test_the_result_is_found_from_each_folder_around_it(downloaded):
    for folder in (downloaded, *list(downloaded.parents)[:2]):
        assert find_record(folder) == downloaded / "federation.json"
        assert load_record(folder) == federation()


@pytest.mark.parametrize(
    ("name", "record"),
    [("readiness.json", readiness(north="train")), ("statistics.json", statistics({"north": 3}))],
)
def test_the_record_of_a_job_that_only_asks_is_found_as_well(tmp_path, name, record):
    workspace = tmp_path / "job-1/workspace"
    workspace.mkdir(parents=True)
    (workspace / name).write_text(record.model_dump_json())
    assert load_record(tmp_path) == record
    (workspace / name).write_text('{"job": 1}')
    with pytest.raises(ConfigurationError, match=f"{name} is not a record"):
        load_record(tmp_path)


def test_two_results_are_distinguished_by_name(downloaded):
    other = downloaded.parents[1] / "job-2/workspace"
    other.mkdir(parents=True)
    federation().save(other)
    with pytest.raises(ConfigurationError, match="holds 2 results; name the folder of one:") as caught:
        find_record(downloaded.parents[1])
    for folder in (downloaded, other):
        assert f"\n  consilium report {folder} --out DIR" in str(caught.value)


def test_a_folder_without_a_result_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"holds none of federation\.json, readiness"):
        find_record(tmp_path)


def test_a_missing_folder_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigurationError, match="nvflare job download"):
        find_record(tmp_path / "results")


@pytest.mark.parametrize("content", ['{"job": 1}', "[" * 100_000, "{}", "", "1"])
def test_a_broken_record_is_an_error(downloaded, content):
    (downloaded / "federation.json").write_text(content)
    with pytest.raises(ConfigurationError, match="not a record"):
        load_record(downloaded)
