"""`consilium simulate`: sites and options that are wrong, answered before anything starts."""

import pytest

from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job

JOB = "brain_tumor_fedavg"


@pytest.fixture
def hospitals(tmp_path):
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
    job = export_job(build_recipe(JOB), tmp_path / "jobs")
    return {"job": job, "north": tmp_path / "north", "south": tmp_path / "south", "out": tmp_path / "out"}


def test_a_home_folder_is_meant_behind_an_equals_sign_too(run, hospitals, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ("--site", "north=~/north", "--site", "south=~/gone", "--out", hospitals["out"])
    code, _, err = run("simulate", hospitals["job"], *options)
    assert code == 2
    assert f"{tmp_path}/gone is not a folder" in err


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("sites", "reported"),
    [
        (["north", "south={south}"], ["'north'", "NAME=DIR"]),
        (["north=", "south={south}"], ["'north='", "NAME=DIR"]),
        (["no/rth={north}", "south={south}"], ["no/rth", "letters from A to Z, digits"]),
        (["../north={north}", "south={south}"], ["letters from A to Z, digits"]),
        (["north={north}", "north={south}"], ["--site north is given twice", "{north}", "{south}"]),
        (["north={north}", "south={north}/gone"], ["site south", "{north}/gone is not a folder"]),
        (["north={north}"], ["two sites or more", "1 is given", "--site NAME=FOLDER"]),
    ],
)
def test_wrong_sites_are_answered_before_anything_starts(run, hospitals, sites, reported):
    options = [text for site in sites for text in ("--site", site.format(**hospitals))]
    code, out, err = run("simulate", hospitals["job"], *options, "--out", hospitals["out"])
    assert (code, out) == (2, "")
    for text in reported:
        assert text.format(**hospitals) in err
    assert not hospitals["out"].exists()


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("name", "option", "reported"),
    [
        ("brain_tumor_check", ("--compare",), "trains nothing: leave --compare out"),
        ("brain_tumor_stats", ("--compare",), "trains nothing: leave --compare out"),
        ("brain_tumor_check", ("--local-only",), "trains nothing: leave --local-only out"),
        ("brain_tumor_stats", ("--evaluates", "north"), "leave --evaluates out"),
        ("brain_tumor_evaluate", (), "write it with `consilium jobs export JOB --to DIR --model NAME=MODEL`"),
    ],
)
def test_what_a_job_that_trains_nothing_can_not_do_is_said_first(
    run, hospitals, tmp_path, name, option, reported
):
    job = export_job(build_recipe(name), tmp_path / "jobs")
    sites = [word for site in ("north", "south") for word in ("--site", f"{site}={hospitals[site]}")]
    code, out, err = run("simulate", job, *sites, "--out", hospitals["out"], *option)
    assert (code, out) == (2, "")
    assert reported in err
    assert not hospitals["out"].exists()


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("option", "reported"),
    [
        (("--convention", "east=brats-2018"), "no site is named east; named: north, south"),
        (("--convention", "brats-1999"), "known: brats-2015"),
        (("--missing", "t1"), "is not of the form NAME=IMAGE or NAME=TARGET"),
        (
            ("--missing", "north=T1"),
            "known: t1, t1ce, t2, flair, tc, wt, et",
        ),
        (("--missing", "north=et", "--compare"), "the labels of north lack targets"),
        (("--file-ending", "t1ce"), "KIND=ENDING"),
    ],
)
def test_conventions_and_endings_are_checked_before_anything_starts(run, hospitals, option, reported):
    sites = [word for site in ("north", "south") for word in ("--site", f"{site}={hospitals[site]}")]
    code, _, err = run("simulate", hospitals["job"], *sites, "--out", hospitals["out"], *option)
    assert code == 2
    assert reported in err
    assert not hospitals["out"].exists()


def test_an_unknown_evaluator_names_the_sites(run, hospitals):
    code, _, err = run(
        "simulate", hospitals["job"], "--site", f"north={hospitals['north']}", "--site",
        f"south={hospitals['south']}", "--evaluates", "suoth", "--out", hospitals["out"],
    )  # fmt: skip
    assert code == 2
    assert "no site is named suoth; named: north, south" in err


def test_a_job_can_be_named_as_in_the_list(run, hospitals):
    code, _, err = run(
        "simulate", "brain_tumor_stats", "--site", f"north={hospitals['north']}", "--site",
        f"south={hospitals['south']}", "--compare", "--out", hospitals["out"],
    )  # fmt: skip
    assert code == 2
    assert "brain_tumor_stats trains nothing: leave --compare out" in err


def test_a_name_that_no_job_has_names_the_jobs(run, hospitals):
    code, _, err = run(
        "simulate", "brain_tumor_fedavgg", "--site", "a=x", "--site", "b=y", "--out", hospitals["out"]
    )
    assert code == 2
    assert "no job is named 'brain_tumor_fedavgg'; did you mean 'brain_tumor_fedavg'?" in err


@pytest.mark.parametrize("job", ["brain_tumor_check", "brain_tumor_stats"])
def test_a_job_that_trains_nothing_takes_conventions_too(run, hospitals, job):
    code, _, err = run(
        "simulate", job, "--site", f"north={hospitals['north']}", "--site", f"south={hospitals['south']}",
        "--convention", "east=brats-2018", "--out", hospitals["out"],
    )  # fmt: skip
    assert code == 2
    assert "no site is named east; named: north, south" in err


def test_a_folder_that_is_no_job_says_where_jobs_come_from(run, hospitals):
    code, _, err = run(
        "simulate", hospitals["north"], "--site", "a=x", "--site", "b=y", "--out", hospitals["out"]
    )
    assert code == 2
    assert f"{hospitals['north']} is not a FLARE job" in err
    assert "consilium jobs export NAME" in err
