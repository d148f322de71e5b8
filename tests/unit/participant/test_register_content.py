"""What a site remembers survives an upgrade, and is not read wrongly after a downgrade."""

import json
import signal
import subprocess
import sys

import pytest

from consilium.data.split import SetShares
from consilium.errors import DataError
from consilium.participant.register_content import REGISTER_FILE, RegisterContent
from consilium.participant.register_files import open_register
from participant.register import visits

OLD, NEW = "ABCDEFGH", "IJKLMNOP"
SHARES = SetShares(0.15, 0.2, 1)


@pytest.fixture
def upgraded(site):
    """The file of a site whose last job ran before there were test patients."""
    with open_register(site) as register:
        before = register.split(visits(OLD), SetShares(0.25, 0))
        register.answerable("scores", before.validation, minimum=2)
    path = site.state_dir / REGISTER_FILE
    content = json.loads(path.read_text())
    del content["test"]
    path.write_text(json.dumps(content | {"format": 3}))
    return path, before


def test_nobody_who_was_trained_or_validated_on_before_the_upgrade_is_tested_on(site, upgraded):
    _, before = upgraded
    with open_register(site) as register:
        after = register.split(visits(OLD), SHARES)
    assert (after.train, after.validation, after.test) == (before.train, before.validation, ())
    with open_register(site) as register:
        grown = register.split(visits(OLD + NEW), SHARES)
    assert len(grown.test) == 3  # a fifth of all, and all of them new
    assert {case.patient for case in grown.test} < set(NEW)
    with open_register(site) as register:
        assert register.answerable("scores", grown.validation, minimum=2).held_back == 0


def test_a_file_is_of_the_new_format_only_once_something_was_decided(site, upgraded):
    path, _ = upgraded
    with open_register(site):
        pass
    assert json.loads(path.read_text())["format"] == 3
    with open_register(site) as register:
        register.split(visits(OLD + NEW), SHARES)
    assert json.loads(path.read_text())["format"] == 4


def test_a_later_version_s_file_is_left_as_it_is(site, upgraded):
    path, _ = upgraded
    later = path.read_text().replace('"format": 3', '"format": 5')
    path.write_text(later)
    said = r"later version of Consilium \(format 5.*Install that version"
    with pytest.raises(DataError, match=said), open_register(site):
        pass
    assert path.read_text() == later


@pytest.mark.parametrize(
    "content", ["{}", "[]", "null", '{"format": 4}', "{", "[" * 10_000, '{"format": "9"}']
)
def test_damage_is_not_taken_for_another_version(content):
    with pytest.raises(DataError, match=r"is damaged, or of another version.*Restore patients\.json"):
        RegisterContent.parse(content, REGISTER_FILE)


@pytest.mark.long
def test_a_site_killed_after_the_decision_decides_the_same(site, tmp_path):
    """kill -9 between the memory's write and its use."""
    program = (
        "import os, signal, sys\n"
        "from consilium.data.split import SetShares\n"
        "from consilium.participant.register_files import open_register\n"
        "from consilium.participant.site_settings import SiteSettings\n"
        "from participant.register import visits\n"
        "site = SiteSettings.model_validate_json(sys.argv[1])\n"
        "with open_register(site) as register:\n"
        f"    three = register.split(visits({OLD + NEW!r}), SetShares(0.15, 0.2, 1))\n"
        "print(*(case.id for case in three.test), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, site.model_dump_json()],
        capture_output=True,
        text=True,
        cwd=str(tmp_path),
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    with open_register(site) as register:
        again = register.split(visits(OLD), SetShares(0.4, 0.4, 1))
    assert {case.id for case in again.test} == set(run.stdout.split()) & {case.id for case in visits(OLD)}
