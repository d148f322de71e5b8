import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consilium.errors import ConfigurationError
from consilium.provisioning.kit import Kit
from consilium.provisioning.systemd_service import service_unit

from .kit_folder import make_kit

ANALYZE = shutil.which("systemd-analyze")


def settings(unit):
    """Sections and keys of a unit; of a repeated key the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(unit)
    return parser


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("name", ["north", '50 % of "it" for $HOME', "it's"])
def test_systemd_understands_the_unit_whatever_the_path(tmp_path, name):
    root = make_kit(tmp_path / name, cache_dir=str(tmp_path / "my cache"))
    (tmp_path / "my cache").mkdir()
    unit = tmp_path / "consilium-north.service"
    unit.write_text(service_unit(Kit(root), user="consilium"))
    done = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_the_unit_gives_little_away(tmp_path):
    unit = tmp_path / "consilium-north.service"
    unit.write_text(service_unit(Kit(make_kit(tmp_path / "north")), user="consilium"))
    words = [ANALYZE, "security", "--offline=true", "--threshold=40", unit]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_hospital_restarts_after_a_failure_and_ends_in_order(tmp_path):
    root = make_kit(tmp_path / "north")
    service = settings(service_unit(Kit(root), user="consilium"))["Service"]
    assert service["User"] == "consilium"
    assert service["ExecStart"] == f'/bin/bash "{root}/startup/sub_start.sh" --once'
    assert service["ExecStop"].endswith(f'consilium" site stop --now "{root}"')
    assert f"PATH={Path(sys.executable).parent}:" in service["Environment"]
    assert service["Restart"] == "on-failure"
    assert service["KillMode"] == "control-group"
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert int(service["TimeoutStopSec"]) >= 60


def test_it_may_write_where_the_hospital_says_and_nowhere_else(tmp_path):
    cache = tmp_path / "scratch" / "cache"
    root = make_kit(tmp_path / "north", cache_dir=str(cache), state_dir="site_state")
    with pytest.raises(ConfigurationError, match="is not there"):
        service_unit(Kit(root), user="consilium")
    cache.mkdir(parents=True)
    lines = service_unit(Kit(root), user="consilium").splitlines()
    assert [line for line in lines if "WritePaths" in line] == [
        f'ReadWritePaths="{root}"',
        f'ReadWritePaths="{cache}"',
    ]


def test_no_site_runs_as_root_unless_it_is_said(tmp_path, monkeypatch):
    root = make_kit(tmp_path / "north")

    class Root:
        pw_name = "root"

    monkeypatch.setattr("consilium.provisioning.systemd_service.pwd.getpwuid", lambda uid: Root)
    with pytest.raises(ConfigurationError, match="chown"):
        service_unit(Kit(root))


@pytest.mark.parametrize("user", ["a b", "x\nExecStartPre=/bin/evil", "", "%n"])
def test_an_account_is_a_name_and_no_setting(tmp_path, user):
    with pytest.raises(ConfigurationError, match="account"):
        service_unit(Kit(make_kit(tmp_path / "north")), user=user)


@pytest.mark.parametrize("name", ["north\nExecStartPre=evil", "north\\", "north\u2028", "north\r", "north "])
def test_a_path_that_would_be_another_line_is_rejected(tmp_path, name):
    root = make_kit(tmp_path / name)
    with pytest.raises(ConfigurationError, match="can't stand in a systemd unit"):
        service_unit(Kit(root), user="consilium")
