"""The tested versions can be installed on every release of the Python that they were tested on."""

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

LINES = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
PINS = [Requirement(line) for line in LINES if line and not line.startswith("#")]
FIRST, LATER = "3.11.0", "3.11.99"


def installed(pin):
    try:
        return metadata.distribution(pin.name)
    except metadata.PackageNotFoundError:
        return None


@pytest.mark.quick_cases(40)
@pytest.mark.parametrize("pin", PINS, ids=[pin.name for pin in PINS])
def test_a_pinned_version_takes_every_release_of_its_python(pin):
    """A Linux distribution's own Python may be an early one: Debian 12 has 3.11.2."""
    distribution = installed(pin)
    if distribution is None or not pin.specifier.contains(distribution.version):
        pytest.skip("another version, or none, is installed here")
    python = SpecifierSet(distribution.metadata.get("Requires-Python") or "")
    assert [release for release in (FIRST, LATER) if release not in python] == [], str(python)


def test_most_pins_are_looked_at():
    assert sum(installed(pin) is not None for pin in PINS) > len(PINS) / 2
