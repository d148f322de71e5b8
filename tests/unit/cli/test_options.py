from collections import defaultdict

import pytest
import typer

from consilium.cli.main import app
from consilium.cli.options import parse_endings
from consilium.cli.site_options import parse_conventions, parse_files
from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention

SITES = ("north", "south")


def test_a_convention_is_stated_for_one_site_or_for_all():
    assert parse_conventions((), SITES, CASES) == {}
    assert parse_conventions(("north=brats-2023",), SITES, CASES) == {"north": LabelConvention.BRATS_2023}
    assert parse_conventions(("brats-2018", "north=brats-ped-2024"), SITES, CASES) == {
        "north": LabelConvention.BRATS_PED_2024,
        "south": LabelConvention.BRATS_2018,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("east=brats-2023",), "no site is named east; named: north, south"),
        (("north=brats-1999",), "--convention: none is named 'brats-1999'; known: brats-2015, .*decathlon"),
        (("brats",), "--convention: none is named 'brats'"),
        (("north=brats-2018", "north=brats-2023"), "given twice for north: brats-2018 and brats-2023"),
        (("brats-2018", "decathlon"), "given twice for all sites"),
    ],
)
def test_what_is_stated_wrongly_is_named(options, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_conventions(options, SITES, CASES)


def test_endings_are_collected_by_kind():
    assert parse_endings(("t1ce=T1_KM", "t1ce=T1_gad", "label=ROI=2"), CASES) == {
        "t1ce": ("T1_KM", "T1_gad"),
        "label": ("ROI=2",),
    }
    for wrong in ("T1_KM", "=T1_KM", "t1ce="):
        with pytest.raises(ConfigurationError, match="KIND=ENDING"):
            parse_endings((wrong,), CASES)
    with pytest.raises(ConfigurationError, match="file_endings names 't9'"):
        parse_endings(("t9=x",), CASES)


def test_sites_say_in_files_what_they_know(tmp_path):
    file = tmp_path / "a=b.csv"
    file.write_text("")
    assert parse_files("--patients", (), SITES) == {}
    assert parse_files("--patients", (f"north={file}",), SITES) == {"north": file}
    with pytest.raises(ConfigurationError, match="--accepted north is given twice"):
        parse_files("--accepted", (f"north={file}",) * 2, SITES)


@pytest.mark.parametrize("option", ["a.csv", "north=", "=a.csv", "elsewhere=a.csv", "north=gone.csv"])
def test_files_of_no_site_or_that_are_not_there_are_rejected(option):
    with pytest.raises(ConfigurationError, match="--patients"):
        parse_files("--patients", (option,), SITES)


OF_THEIR_OWN = {
    "--convention",
    "--fingerprint",
    "--json",
    "--kit",
    "--min-patients",
    "--out",
    "--site",
    "--task",
    "--to",
    "--workers",
}
"""Options that mean something else in each command, or have another form there."""


def test_an_option_of_several_commands_has_one_help_text():
    texts = defaultdict(set)
    for command in leaves(typer.main.get_command(app)):
        for option in command.params:
            texts[option.opts[0]].add(getattr(option, "help", None))

    different = {name: found for name, found in texts.items() if name.startswith("--") and len(found) > 1}
    assert different.keys() <= OF_THEIR_OWN


def leaves(command):
    below = getattr(command, "commands", {}).values()
    return [one for each in below for one in leaves(each)] or [command]
