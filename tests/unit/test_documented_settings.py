"""Settings that pages list are those of the code, with its defaults."""

import re
from pathlib import Path
from typing import Any

import pytest

from consilium.participant.site_settings import SiteSettings
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.recipes.recognition import RECIPES
from consilium.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
HAVE_OWN_PAGES = {"dp_sgd", "secagg_fedavg"}
"""Algorithms whose settings are not on the page of algorithms."""


def rows(page: str) -> dict[str, set[str]]:
    """Return the last cells of each row of tables of three columns, by the name in its first one."""
    found: dict[str, set[str]] = {}
    for line in page.splitlines():
        cells = line.strip().strip("|").split(" | ")
        if len(cells) == 3 and (name := re.fullmatch(r"`(\w+)`", cells[0].strip())):
            found.setdefault(name[1], set()).add(cells[2].strip().replace("`", ""))
    return found


@pytest.mark.parametrize("kind", [SiteSettings, PrivacyDemand, HospitalNoise], ids=lambda kind: kind.__name__)
def test_the_page_of_a_site_has_each_setting_with_its_default(kind: type[Settings]) -> None:
    listed = rows((DOCS / "site.md").read_text())
    wrong = {}
    for name, field in kind.model_fields.items():
        default: Any = field.default
        plain = str(default).lower() if isinstance(default, bool) else str(default)
        is_plain = isinstance(default, bool | int | float) or type(default) is str
        said = listed.get(name, set())
        if not said or (is_plain and not any(re.match(rf"{re.escape(plain)}(?![\w.])", one) for one in said)):
            wrong[name] = (plain, said)
    assert wrong == {}


def test_the_page_of_algorithms_has_each_setting_with_its_default() -> None:
    page = (DOCS / "algorithms.md").read_text()
    settings = [one.settings_type.model_fields.get("algorithm") for one in RECIPES.values()]
    kinds = [one.annotation for one in settings if one is not None]
    wrong, seen = [], 0
    for kind in kinds:
        if kind.model_fields["name"].default in HAVE_OWN_PAGES:
            continue
        for name, field in kind.model_fields.items():
            if name != "name":
                seen += 1
                wrong += [name] if f"`{name}` ({field.default:g})" not in page else []
    assert seen
    assert wrong == []


def test_a_default_that_differs_is_found() -> None:
    assert rows("| `min_count` | fewest patients | 5 |\n| a | b |") == {"min_count": {"5"}}
