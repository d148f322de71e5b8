import json
import stat

import pytest
from provisioning.kit_folder import make_kit


@pytest.fixture
def kit(tmp_path):
    return make_kit(tmp_path / "north")


OTHER = "AB" * 32


def test_a_hospital_makes_its_identity_once_and_shows_its_fingerprint(run, kit):
    code, out, err = run("identity", "create", kit)
    assert code == 0
    fingerprint = out.strip()
    assert len(fingerprint) == 95
    key = kit / "local/secagg_identity.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert run("identity", "show", kit) == (0, out, "")
    before = key.read_bytes()
    code, _, err = run("identity", "create", kit)
    assert code == 2
    assert "never overwritten" in err
    assert key.read_bytes() == before


def test_the_private_key_is_never_printed(run, kit):
    _, out, err = run("identity", "create", kit)
    key = (kit / "local/secagg_identity.pem").read_text().splitlines()[1]
    assert key not in out + err


def test_the_others_are_pinned_and_listed_with_how_many_must_be_left(run, kit):
    assert run("identity", "peers", kit) == (0, "", "none is pinned; next: consilium identity pin\n")
    assert run("identity", "pin", kit, "south", OTHER)[:2] == (0, "north aggregates with: south\n")
    _, _, err = run("identity", "peers", kit)
    assert err == (
        "too few: a sum must be of 3 hospitals, this one included; pin 1 more hospital with "
        "`consilium identity pin`\n"
    )
    for name, text in (("east", "01" * 32), ("west", "02" * 32)):
        assert run("identity", "pin", kit, name, text)[0] == 0
    _, out, err = run("identity", "peers", kit)
    assert [line.split("\t")[0] for line in out.splitlines()] == ["east", "south", "west"]
    assert "if all 4 take part, 3 must be left" in err
    content = json.loads(run("identity", "peers", kit, "--json")[1])
    assert content["peers"]["south"] == ":".join(["AB"] * 32)
    assert (content["min_survivors"], content["colluding_sites"]) == (3, 0)
    assert stat.S_IMODE((kit / "local/secagg_peers.json").stat().st_mode) == 0o600


def test_a_hospital_with_many_peers_is_told_of_jobs_that_continue_without_it(run, kit):
    for number in range(1, 6):
        assert run("identity", "pin", kit, f"site-{number}", f"{number:02}" * 32)[0] == 0
    _, _, err = run("identity", "peers", kit)
    assert "if all 6 take part, 4 must be left at the end\n" in err
    assert "jobs of fewer than 4 continue without north: " in err
    assert "unless min_survivors in secagg_peers.json is a number" in err
    path = kit / "local/secagg_peers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_survivors": 3}))
    _, _, err = run("identity", "peers", kit)
    assert err.startswith(
        "if all 6 take part, 4 must be left at the end\nmin_survivors 3 lets a malicious server"
    )
    path.write_text(json.dumps({**json.loads(path.read_text()), "min_survivors": 4}))
    assert run("identity", "peers", kit)[2] == "if all 6 take part, 4 must be left at the end\n"


@pytest.mark.parametrize(("words", "message"), [
    (("south", "01" * 32), "pinned with another fingerprint"), (("north", OTHER), "this hospital itself"),
    (("west", "0x12"), "64 hexadecimal digits"), (("../west", "01" * 32), "peers"),
    (("west", OTHER), "two hospitals with one fingerprint"),
])  # fmt: skip
def test_a_pin_that_can_not_be_is_an_error(run, kit, words, message):
    run("identity", "pin", kit, "south", OTHER)
    before = (kit / "local/secagg_peers.json").read_bytes()
    code, _, err = run("identity", "pin", kit, *words)
    assert code == 2
    assert message in err
    assert (kit / "local/secagg_peers.json").read_bytes() == before


def test_the_server_has_no_identity(run, kit):
    (kit / "startup/fed_client.json").rename(kit / "startup/fed_server.json")
    content = json.loads((kit / "startup/fed_server.json").read_text())
    (kit / "startup/fed_server.json").write_text(json.dumps(content))
    code, _, err = run("identity", "create", kit)
    assert code == 2
    assert "the server, which has no identity" in err
    assert not (kit / "local/secagg_identity.pem").exists()


def test_without_an_identity_the_command_that_makes_it_is_named(run, kit):
    code, _, err = run("identity", "show", kit)
    assert code == 2
    assert "consilium identity create" in err
