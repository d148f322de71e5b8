import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consilium.guard.parties import Kind, Party, is_job_id, parse_party

JOB = "1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11"
USER = f"_admin_{JOB}"


@pytest.mark.parametrize(
    ("name", "party"),
    [
        ("server", Party("server", Kind.SERVER, "server")),
        (f"server.{JOB}", Party(f"server.{JOB}", Kind.SERVER_JOB, "server", JOB)),
        ("north", Party("north", Kind.SITE, "north")),
        (f"north.{JOB}", Party(f"north.{JOB}", Kind.SITE_JOB, "north", JOB)),
        (f"north.ws_transfer_{JOB}", Party(f"north.ws_transfer_{JOB}", Kind.TRANSFER, "north", JOB)),
        (USER, Party(USER, Kind.USER, USER)),
    ],
)
def test_the_processes_of_a_federation_are_told_by_their_names(name, party):
    assert parse_party(name) == party


@pytest.mark.parametrize(
    "name",
    ["", None, 7, [], "north.local", "north..x", f"north.{JOB}.0", f"north.{JOB.upper()}", " north",
     "north/..", "north ", "north.", f"north.ws_transfer_{JOB}x", f"{USER}.{JOB}", "north.ws_transfer_",
     "no rth", b"north"],
)  # fmt: skip
def test_every_other_name_is_nobody_s(name):
    assert parse_party(name) is None


@pytest.mark.parametrize(
    "value",
    ["local", "startup", "", ".", "..", JOB.upper(), JOB.replace("-", ""), f"{{{JOB}}}", f"urn:uuid:{JOB}",
     f" {JOB}", f"{JOB}\n", f"{JOB}/..", str(uuid.uuid1()), None, 3, ["x"], JOB.encode()],
)  # fmt: skip
def test_what_is_no_job_id_of_flare_s_server_never_names_a_folder(value):
    assert not is_job_id(value)


@given(st.uuids(version=4))
def test_a_random_uuid_is_one(value):
    assert is_job_id(str(value))
