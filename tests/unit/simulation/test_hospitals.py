import sys
import tempfile
from pathlib import Path

import pytest

from consilium.errors import ConfigurationError
from consilium.simulation.hospitals import check_folders, site_settings, without_spaces


@pytest.fixture
def sites(tmp_path):
    folders = {name: tmp_path / "archive" / name for name in ("north", "south")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    return folders


def refusal(sites, out):
    with pytest.raises(ConfigurationError) as caught:
        check_folders(sites, out)
    return str(caught.value)


def test_hospitals_with_folders_of_their_own_are_well(sites, tmp_path):
    check_folders(sites, tmp_path / "my study" / "first")
    assert [path.name for path in (tmp_path / "my study").iterdir()] == ["first"]
    assert list((tmp_path / "my study/first").iterdir()) == []


@pytest.mark.parametrize("name", ["server", "Server", "SERVER", "a" * 65, "north hospital", "a.b", "", "a/b"])
def test_a_name_that_flare_can_t_use_is_rejected(sites, tmp_path, name):
    assert "can't be a site's name" in refusal({**sites, name: sites["south"]}, tmp_path / "out")


@pytest.mark.parametrize("below", ["", "runs/first"])
def test_nothing_is_written_into_a_hospital_s_folder(sites, tmp_path, below):
    out = sites["south"] / below
    assert "lies in the folder of site south" in refusal(sites, out)
    link = tmp_path / "link"
    link.symlink_to(sites["south"])
    assert "lies in the folder of site south" in refusal(sites, link / below)
    assert list(sites["south"].iterdir()) == []


def test_a_site_tests_on_its_own_share_of_the_patients(sites, tmp_path):
    usual = site_settings(sites, tmp_path / "out", frozenset())
    decided = site_settings(sites, tmp_path / "out", frozenset(), test_fractions={"north": 0.5})
    assert decided["north"].test_fraction == 0.5
    assert decided["south"] == usual["south"]


def test_a_minimum_that_no_hospital_may_have_is_refused_by_name(sites, tmp_path):
    with pytest.raises(ConfigurationError, match="min_training_patients: allowed: 1000000 or less"):
        site_settings(sites, tmp_path / "out", frozenset(), min_patients=10**13)


def test_two_sites_have_two_folders(sites, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(sites["north"])
    assert "sites north and again have one folder" in refusal({**sites, "again": link}, tmp_path / "out")


@pytest.mark.parametrize("order", [1, -1])
def test_no_site_s_patients_are_another_one_s_as_well(sites, tmp_path, order):
    """A model would be tested at one of the two on patients that it was trained on at the other."""
    around = {**sites, "whole": sites["north"].parent}
    link = tmp_path / "link"
    link.symlink_to(sites["north"].parent)
    for given in (around, {**sites, "whole": link}):
        nested = dict(list(given.items())[::order])
        assert "lies in the other" in refusal(nested, tmp_path / "out")


def test_folders_with_names_that_begin_alike_are_two(sites, tmp_path):
    other = sites["north"].with_name("north-2")
    other.mkdir()
    check_folders({**sites, "other": other}, tmp_path / "out")


def test_a_folder_that_can_t_be_made_is_named(sites, tmp_path):
    (tmp_path / "file").write_text("")
    assert "can't be written" in refusal(sites, tmp_path / "file/out")
    if Path("/proc/self").is_dir():
        assert "can't be written" in refusal(sites, Path("/proc/self/out"))


def test_a_folder_without_spaces_is_taken_as_it_is(tmp_path):
    with without_spaces(tmp_path) as folder:
        assert folder == tmp_path


@pytest.mark.parametrize("name", ["my study", "a'b", 'a"b', "a\\b", "a\tb"])
def test_a_folder_with_a_space_gets_another_name_for_a_while(tmp_path, name):
    folder = tmp_path / name / "simulation"
    folder.mkdir(parents=True)
    with without_spaces(folder) as link:
        assert name not in str(link)
        (link / "file").write_text("x")
    assert (folder / "file").read_text() == "x"
    assert not link.exists()


def test_where_no_other_name_can_be_had_it_says_so(tmp_path, monkeypatch):
    folder = tmp_path / "my study"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(ConfigurationError, match="set TMPDIR"), without_spaces(folder):
        pass
    monkeypatch.setattr(sys, "executable", "/my programs/python")
    with pytest.raises(ConfigurationError, match="virtual environment"), without_spaces(tmp_path):
        pass
