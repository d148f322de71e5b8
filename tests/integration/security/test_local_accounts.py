"""What another account of the same machine finds, after a federation has run with umask 022."""

from pathlib import Path

import pytest

from consilium.provisioning.kit import Kit
from consilium.site_check.finding import Status
from consilium.site_check.modes import check_modes

from ..accounts import NO_OTHER_ACCOUNT, everything_in, open_to_others, opened_by_nobody
from .federation import SERVER_NAME, SITES

pytestmark = pytest.mark.integration
as_nobody = pytest.mark.skipif(NO_OTHER_ACCOUNT is not None, reason=str(NO_OTHER_ACCOUNT))

PLACES = (SERVER_NAME, *SITES, "users", "state")


@pytest.fixture(scope="module")
def written(federation, job):
    """Place to everything in it: kits with what their processes have written, and what provisioning keeps."""
    kits = {name: federation.kits[name] for name in (SERVER_NAME, *SITES)}
    users = [kit for name, kit in federation.kits.items() if "@" in name]
    found = {name: everything_in(kit) for name, kit in kits.items()}
    found["users"] = [path for kit in users for path in everything_in(kit)]
    project = kits["north"].parents[1]
    found["state"] = [project, kits["north"].parent, *everything_in(project / "state")]
    return found


@pytest.mark.parametrize(
    ("place", "names"),
    [
        (SERVER_NAME, {"log.txt", "audit.log", "server.key", "jobs-storage"}),
        ("north", {"log.txt", "log.json", "client.key", "image.npy", "quarantine.json", "round_000002.json"}),
        ("clinic", {"log.txt", "image.npy"}),
        ("users", {"client.key", "fl_admin.sh"}),
        ("state", {"cert.json"}),
    ],
)
def test_there_is_something_to_be_found(written, place, names):
    assert names <= {path.name for path in written[place]}


@pytest.mark.parametrize("place", PLACES)
def test_no_mode_of_any_file_or_folder_lets_others_in(written, place):
    assert open_to_others(written[place]) == {}


def test_nothing_was_open_while_the_job_ran(job):
    """Updates, checkpoints and the job's own folder are gone when it has ended."""
    assert job.watch.names >= {
        "model.safetensors",
        "round_000001.json",
        "progress.json",
        "config_fed_client.json",
    }
    assert job.watch.open == {}


@as_nobody
@pytest.mark.parametrize("place", PLACES)
def test_account_nobody_opens_nothing(written, place):
    assert opened_by_nobody(written[place]) == []


@as_nobody
def test_account_nobody_opens_what_is_open(tmp_path):
    """The attempt itself: behind a closed folder, it finds the open file and the open folder."""
    for name, mode in (("open", 0o755), ("closed", 0o700)):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name).chmod(mode)
    files = {"closed/read": 0o604, "closed/write": 0o602, "closed/nothing": 0o600, "open/nothing": 0o600}
    for name, mode in files.items():
        (tmp_path / "top" / name).write_text("")
        (tmp_path / "top" / name).chmod(mode)
    (tmp_path / "top").chmod(0o700)
    opened = {
        Path(path).relative_to(tmp_path / "top") for path in opened_by_nobody(everything_in(tmp_path / "top"))
    }
    assert opened == {Path("closed/read"), Path("closed/write"), Path("open")}


@pytest.mark.parametrize("name", [SERVER_NAME, *SITES])
def test_the_site_s_own_check_agrees(federation, job, name):
    findings = list(check_modes(Kit(federation.kits[name]), None))
    assert [finding for finding in findings if finding.status is Status.FAILED] == []
