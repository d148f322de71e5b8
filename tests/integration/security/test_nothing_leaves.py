"""After all the attacks, an ordinary job: the federation works, and nothing but updates leaves a hospital."""

import io
import re
import zipfile

import pytest
from safetensors.numpy import load

from consilium.federation.server.user_session import open_session, read_job

from ..studies import SMALL
from .conftest import NO_NAMESPACES, pids_of
from .federation import LEAD, SITES

pytestmark = pytest.mark.integration

TRAINING = ("north", "south")
SHARE, BYTES_A_ROUND = 0.02, 256 * 1024
"""What may be added to the updates themselves: heartbeats, scores, progress, headers of all layers."""


def test_the_federation_works_after_all_attacks_on_the_same_processes(federation, attacks, job):
    assert job.meta["status"] == "FINISHED:COMPLETED"
    assert set(job.meta["job_deploy_detail"]) == {f"{name}: OK" for name in ("server", *SITES)}
    assert pids_of(federation) == attacks.pids


def test_a_user_with_a_provisioned_kit_sees_how_it_ended(federation, job):
    with open_session(federation.kits[LEAD]) as session:
        status = read_job(session, job.meta["job_id"])
    assert (status.ended.kind, status.ended.reasons) == ("success", [])


@pytest.mark.skipif(NO_NAMESPACES is not None, reason=f"no network namespaces: {NO_NAMESPACES}")
@pytest.mark.parametrize("site", SITES)
def test_a_site_sends_its_updates_and_little_else(job, site):
    (content,) = (
        content
        for name, content in contents(job.server)
        if name.endswith("/model.safetensors") and job.meta["job_id"] in name and "/data" not in name
    )
    update = sum(array.nbytes for array in load(content).values())
    rounds = SMALL["rounds"]
    updates = rounds * update if site in TRAINING else 0
    assert updates < job.sent[site] or site not in TRAINING  # the counter counts
    assert job.sent[site] <= updates * (1 + SHARE) + rounds * BYTES_A_ROUND
    assert (
        job.received[site] > (rounds + 1) * update
    )  # a model a round, and the final one: the site evaluates all


def test_nothing_at_the_server_names_a_case_a_file_or_a_folder_of_a_hospital(hospitals, federation, job):
    secrets = {str(hospitals[site]).encode() for site in SITES}
    for site in SITES:
        names = {path.name.partition(".")[0] for path in hospitals[site].rglob("*")}
        secrets |= {name.encode() for name in names if re.search(r"\d", name)}
    assert len(secrets) > 3 * len(SITES)
    searched = dict(contents(job.server))
    for kind in ("log.txt", "progress.json", "federation.json", "model.safetensors", "audit.log"):
        assert any(name.endswith(kind) for name in searched), kind
    assert [(name, word) for name, content in searched.items() for word in secrets if word in content] == []
    assert [(name, word) for name in searched for word in secrets if word.decode() in name] == []
    at_home = [content for _, content in contents(federation.kits["north"])]
    assert any(word in content for content in at_home for word in secrets)  # where they stand, it finds them


def contents(folder):
    """Yield name and content of every file below a folder, and of every file in an archive there."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield from _unpacked(str(path.relative_to(folder)), path.read_bytes())


def _unpacked(name, content):
    yield name, content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as zipped:
            for entry in zipped.namelist():
                yield from _unpacked(f"{name}/{entry}", zipped.read(entry))
