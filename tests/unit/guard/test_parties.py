import pytest

from consilium.guard.parties import Kind, Party, parse_party

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
def test_the_processes_of_a_federation_are_recognized_by_their_names(name, party):
    assert parse_party(name) == party


@pytest.mark.parametrize(
    "name",
    ["", None, 7, [], "north.local", "north..x", f"north.{JOB}.0", f"north.{JOB.upper()}", " north",
     "north/..", "north ", "north.", f"north.ws_transfer_{JOB}x", f"{USER}.{JOB}", "north.ws_transfer_",
     "no rth", b"north", "SERVER", "Server.1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11", "n" * 65, "n" * 5000,
     "north\n", f"north.{JOB}\n", "lead@hospital", "\u014borth"],
)  # fmt: skip
def test_every_other_name_is_nobody_s(name):
    assert parse_party(name) is None
