"""Provisioning a project once more: keys, certificates, signatures and modes of its kits."""

import copy
import json
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from nvflare.fuel.sec.security_content_service import LoadResult, SecurityContentManager

from consilium.errors import ConfigurationError

from .provisioned import SERVER, changed, content_of, open_to_others, provision, read, shipped_project


def test_provisioning_again_adds_a_hospital_and_leaves_the_others_kits_as_they_were(workspace, kits):
    project = shipped_project()
    project["participants"].append(
        {"name": "west", "type": "client", "org": "west", "consilium": {"dataset": "/data/west"}}
    )
    later = provision(workspace, project)
    assert later != kits
    for name in ("north", "south", "clinic", "scientist@consortium.example", SERVER):
        assert content_of(later / name) == content_of(kits / name)
    assert (later / "west" / "startup" / "client.key").is_file()
    assert not (kits / "west").exists()


@pytest.mark.long
def test_a_later_provisioning_keeps_the_encryption_context(encrypted):
    folder, project, kits = encrypted
    later = provision(folder, project)
    for name, context in ((SERVER, "server_context.tenseal"), ("north", "client_context.tenseal")):
        before, after = (root / name / "startup" / context for root in (kits, later))
        assert before.read_bytes() == after.read_bytes()
        assert before.stat().st_mode & 0o077 == 0


@pytest.mark.long
def test_another_encryption_than_the_federation_has_is_rejected(encrypted):
    folder, project, _ = encrypted
    changed = copy.deepcopy(project)
    changed["builders"][3]["args"] = {"scale_bits": 30}
    with pytest.raises(
        ConfigurationError, match=r"made with .*'scale_bits': 40.* asks for .*'scale_bits': 30"
    ):
        provision(folder, changed)


@pytest.mark.parametrize("plain", [True, False])
def test_startup_is_signed_and_local_is_the_site_s_to_tighten(request, kits, plain):
    root = kits if plain else request.getfixturevalue("encrypted")[2]
    startup, local = root / "north" / "startup", root / "north" / "local"
    signed = SecurityContentManager(str(startup))
    for name in ("fed_client.json", "client.crt", "client.key", "rootCA.pem"):
        assert signed.load_content(name)[1] is LoadResult.OK
    if not plain:
        assert signed.load_content("client_context.tenseal")[1] is LoadResult.OK
    assert not (local / "signature.json").exists()

    with changed(
        startup / "fed_client.json", lambda text: text.replace("consortium.example", "elsewhere.test")
    ):
        assert signed.load_json("fed_client.json")[1] is LoadResult.INVALID_SIGNATURE


@pytest.mark.long
def test_a_certificate_taken_out_of_the_state_is_made_again_and_no_other(tmp_path, workspace, kits):
    project = shipped_project()
    folder = Path(shutil.copytree(workspace / project["name"], tmp_path / project["name"])).parent
    state = folder / project["name"] / "state" / "cert.json"
    certificates = read(state)
    del certificates["north"]
    state.write_text(json.dumps(certificates))
    later = provision(folder, project)
    for name in ("client.crt", "client.key"):
        assert (later / "north/startup" / name).read_bytes() != (kits / "north/startup" / name).read_bytes()
        assert (later / "south/startup" / name).read_bytes() == (kits / "south/startup" / name).read_bytes()
    root = "north/startup/rootCA.pem"
    assert (later / root).read_bytes() == (kits / root).read_bytes()


def test_the_encryption_context_and_its_copies_are_the_owner_s_alone(encrypted):
    _, _, kits = encrypted
    assert (kits.parent / "state/encryption").is_dir()
    assert open_to_others(kits.parent) == {}


def test_provisioning_again_closes_what_an_earlier_version_left_open(tmp_path, workspace, kits):
    project = shipped_project()
    folder = Path(shutil.copytree(workspace / project["name"], tmp_path / project["name"])).parent
    made = folder / project["name"]
    for path, mode in ((made, 0o755), (made / "state", 0o755), (made / "state/cert.json", 0o644)):
        path.chmod(mode)
    later = provision(folder, project)
    assert open_to_others(made / "state") == {}
    assert open_to_others(later) == {}
    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.long
def test_the_fingerprint_of_the_ca_is_printed_as_openssl_shows_it(tmp_path, capsys):
    kits = provision(tmp_path, shipped_project())
    root = x509.load_pem_x509_certificate((kits / "north" / "startup" / "rootCA.pem").read_bytes())
    digest = root.fingerprint(hashes.SHA256()).hex(":").upper()
    assert f"fingerprint of the federation's CA: SHA256:{digest}; give it" in capsys.readouterr().out


@pytest.mark.long
def test_a_new_name_of_the_server_that_its_certificate_lacks_is_said(tmp_path, capfd):
    project = shipped_project()
    provision(tmp_path, project)
    assert "its certificate holds" not in capfd.readouterr().err
    project["participants"][0]["host_names"] = ["public.example"]
    provision(tmp_path, project)
    said = "".join(capfd.readouterr())
    assert "its certificate holds flare.consortium.example, and not public.example" in said
