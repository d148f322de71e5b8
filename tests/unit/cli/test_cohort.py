"""Synthetic hospitals by the command line: their options are the task's, and so is what is said of them."""

import re

import pytest
from tasks.packages import brought

BRAIN = re.compile(r"tumou?r|brats|voxel|\bmm\b|\bml\b|anatomy|glioma", re.I)


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (("cohort",), ["consilium cohort DIR"]),
        (("cohort", "x", "--set", "voxels=3"), ["no option 'voxels'", "known: hospitals, spacing, size"]),
        (
            ("cohort", "x", "--set", "hospitals.north=3 cases"),
            ["hospitals.north=3 cases", "hospitals.north=brats2021:6"],
        ),
        (("cohort", "x", "--set", "size=9x9"), ["size=9x9", "XxYxZ", "size=96x112x88"]),
        (
            ("cohort", "x", "--set", "hospitals.a=dicom:3"),
            ["1 setting can't", "allowed: 'brats2020'", "cohort --options"],
        ),
        (("cohort", "x", "--set", "hospitals.a=brats2021:0"), ["cases: allowed: 1 or more (seen: 0)"]),
        (("cohort", "x", "--set", "hospitals.a b=brats2021:3"), ["name: allowed: what matches", "'a b'"]),
        (("cohort", "x", "--set", "spacing=9"), ["grid.spacing_mm: allowed: 4.0 or less (seen: 9.0)"]),
        (("cohort", "x", "--set", "tumor_mix.tiny=1"), ["tumor_mix.tiny: no such setting"]),
        (("cohort", "x", "--set", "tumor_mix=1", "--set", "tumor_mix.small=1"), ["tumor_mix is 1 already"]),
    ],
)
def test_wrong_input_is_answered_with_what_is_allowed_and_nothing_is_made(
    run,
    tmp_path,
    monkeypatch,
    arguments,
    reported,
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    for text in reported:
        assert text in err
    assert not list(tmp_path.iterdir())


def test_the_options_are_those_of_the_task(run):
    code, out, _ = run("cohort", "--options")
    listed = dict(line.split("\t") for line in out.splitlines())
    assert code == 0
    assert list(listed) == [
        *("hospitals", "spacing", "size", "seed"),
        *("tumor_mix", "missing_et", "cropped", "resected"),
    ]
    assert all(listed.values())
    with brought("fundus"):
        assert run("cohort", "--task", "fundus", "--options")[1].splitlines() == [
            "seed\tAnother number makes other patients."
        ]
    with brought("chest_ct"):
        code, out, err = run("cohort", "--task", "chest_ct", "--options")
        assert (code, out) == (0, "")
        assert "no options" in err


def test_the_help_is_of_no_task(run):
    code, out, _ = run("cohort", "--help")
    assert code == 0
    assert BRAIN.findall(out.replace("[default: brain_tumor]", "")) == []
