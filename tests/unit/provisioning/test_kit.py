import json
import shutil
from pathlib import Path

import pytest

from consilium.errors import ConfigurationError
from consilium.provisioning.kit import Kit

from .provisioned import SERVER

SITE = "north"


@pytest.fixture
def root(kits, tmp_path):
    """A hospital's kit, to be changed."""
    return Path(shutil.copytree(kits / SITE, tmp_path / SITE))


@pytest.fixture
def kit(root):
    return Kit(root)


def refusal(root):
    with pytest.raises(ConfigurationError) as caught:
        Kit(root)
    return str(caught.value)


def test_a_hospital_s_kit_says_whose_it_is_and_where_the_server_is(kit):
    assert (kit.kind, kit.site_name, kit.project, kit.server_identity) == (
        "client",
        SITE,
        "brain_tumor_consortium",
        SERVER,
    )
    assert (kit.endpoint.host, kit.endpoint.port, kit.endpoint.scheme) == (SERVER, 8002, "grpc")
    assert kit.endpoint.security == "mtls"
    assert kit.script_settings == {"uid": SITE, "org": "north_hospital"}


def test_the_server_s_kit_is_recognized(kits):
    kit = Kit(kits / SERVER)
    assert (kit.kind, kit.site_name, kit.certificate_file) == ("server", SERVER, "startup/server.crt")


def test_a_policy_file_of_the_site_comes_before_the_default(kit):
    (kit.local / "resources.json").write_text("{}")
    assert kit.policy_file("resources.json") == "local/resources.json"
    (kit.local / "resources.json").unlink()
    assert kit.policy_file("resources.json") == "local/resources.json.default"
    assert kit.policy_file("nothing.json") is None


def test_a_folder_that_is_no_kit_is_rejected(tmp_path, kits):
    assert "is not a folder" in refusal(tmp_path / "gone")
    (tmp_path / "kit.zip").write_bytes(b"PK")
    assert "unpack it first" in refusal(tmp_path / "kit.zip")
    assert "is not a site's startup kit" in refusal(tmp_path)
    assert "user of the console" in refusal(kits / "scientist@consortium.example")


@pytest.mark.parametrize("target", ["localhost", "localhost:", "localhost:port", None])
def test_a_kit_that_does_not_say_where_the_server_is_is_rejected(root, target):
    file = root / "startup" / "fed_client.json"
    startup = json.loads(file.read_text())
    startup["servers"][0]["service"]["target"] = target
    file.write_text(json.dumps(startup))
    assert "servers[0].service.target, as host:port" in refusal(root)


@pytest.mark.parametrize("content", ["{", "[]", "\udc80"])
def test_a_broken_startup_file_is_named(root, content):
    (root / "startup" / "fed_client.json").write_bytes(content.encode(errors="surrogateescape"))
    assert "startup/fed_client.json" in refusal(root)
