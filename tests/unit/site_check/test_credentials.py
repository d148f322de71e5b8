import datetime
import json
import shutil

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from nvflare.lighter.utils import Identity, generate_cert, load_private_key, serialize_cert

from consilium.provisioning.kit import Kit
from consilium.site_check import credentials
from consilium.site_check.credentials import check_credentials
from consilium.site_check.finding import Status

from .federation import SERVER, SITE, read, write

NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture
def authority(kits):
    """The federation's root certificate and its private key."""
    state = json.loads((kits.parent / "state" / "cert.json").read_text())
    return x509.load_pem_x509_certificate(state["root_cert"].encode()), load_private_key(
        state["root_pri_key"]
    )


def found(root):
    return {finding.id: finding for finding in check_credentials(Kit(root))}


def issue(root, authority, *, begins, ends, name=SITE, org="north_hospital"):
    """Give a kit a new certificate for its own key, signed by the federation's CA."""
    _, key = authority
    own = load_pem_private_key((root / "startup" / "client.key").read_bytes(), password=None).public_key()
    new = generate_cert(
        Identity(name, org), Identity("consilium"), key, own, not_valid_before=begins, not_valid_after=ends
    )
    (root / "startup" / "client.crt").write_bytes(serialize_cert(new))


def test_a_kit_as_provisioned_is_well(kits):
    findings = found(kits / SITE)
    root = x509.load_pem_x509_certificate((kits / SITE / "startup/rootCA.pem").read_bytes())
    digest = root.fingerprint(hashes.SHA256()).hex(":").upper()
    seen = f"north, issued by consilium; the CA's fingerprint, to compare by telephone: SHA256:{digest}"
    assert findings["kit.certificate"].seen == seen
    assert {finding.status for finding in findings.values()} == {Status.OK}


def test_the_server_s_kit_is_well_too(kits):
    assert {finding.status for finding in found(kits / SERVER).values()} == {Status.OK}


@pytest.mark.parametrize("name", ["startup/stop_fl.sh", "startup/rootCA.pem", "startup/client.key"])
def test_a_missing_file_is_named(root, refused, name):
    (root / name).unlink()
    refused(found(root)["kit.files"], f"missing: {name}", "ask the project admin for the kit again")


def test_scripts_that_can_t_be_executed_are_named_with_the_command(root, refused):
    for name in ("start.sh", "sub_start.sh"):
        (root / "startup" / name).chmod(0o600)
    seen = "startup/start.sh, startup/sub_start.sh can't be executed"
    refused(found(root)["kit.files"], seen, "chmod u+x startup/start.sh startup/sub_start.sh")


def test_a_certificate_of_another_federation_is_rejected(root, other_kits, refused):
    for name in ("client.crt", "client.key"):
        shutil.copy(other_kits / SITE / "startup" / name, root / "startup" / name)
    findings = found(root)
    refused(
        findings["kit.certificate"], "was not issued by this kit's root consilium", "do not start this kit"
    )
    assert findings["kit.key"].status is Status.OK


@pytest.mark.parametrize("name", ["client.crt", "rootCA.pem"])
def test_a_certificate_that_can_t_be_read_is_rejected(root, refused, name):
    (root / "startup" / name).write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
    findings = found(root)
    refused(findings["kit.certificate"], f"startup/{name} holds no certificate", "ask the project admin")
    assert findings["kit.expiry"].status is Status.SKIPPED


@pytest.mark.parametrize(
    ("begins", "ends", "status", "seen", "remedy"),
    [
        (NOW - 9 * DAY, NOW - 2 * DAY, Status.FAILED, "expired 3 days ago", "a new certificate"),
        (NOW - DAY, NOW + 20 * DAY, Status.WARNING, "days left", "a new certificate"),
        (NOW + DAY, NOW + 90 * DAY, Status.FAILED, "valid from", "timedatectl set-ntp true"),
    ],
)
def test_a_certificate_out_of_date_is_reported(root, authority, refused, begins, ends, status, seen, remedy):
    issue(root, authority, begins=begins, ends=ends)
    refused(found(root)["kit.expiry"], seen, remedy, status)


def test_a_key_of_another_certificate_is_rejected(root, kits, refused):
    shutil.copy(kits / "lead@example.org" / "startup" / "client.key", root / "startup" / "client.key")
    refused(found(root)["kit.key"], "is not the key of startup/client.crt", "startup/client.key")


def test_a_file_that_is_no_key_is_rejected_and_not_shown(root, refused):
    (root / "startup" / "client.key").write_text("-----BEGIN PRIVATE KEY-----\nSECRET\n")
    finding = found(root)["kit.key"]
    refused(finding, "not an unencrypted private key", "ask the project admin")
    assert "SECRET" not in str(finding)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_a_key_that_others_can_read_or_write_is_rejected(root, refused, mode):
    (root / "startup" / "client.key").chmod(mode)
    refused(found(root)["kit.key_permissions"], f"has mode {mode:04o}", "chmod 600 startup/client.key")


@pytest.mark.parametrize("name", ["server.key", "client_context.tenseal"])
def test_another_secret_that_others_can_read_is_rejected(root, refused, name):
    (root / "startup" / name).write_text("secret")
    (root / "startup" / name).chmod(0o644)
    finding = found(root)["kit.key_permissions"]
    refused(finding, f"startup/{name} has mode 0644", f"chmod 600 startup/{name} (in the kit's folder)")


@pytest.mark.parametrize(("name", "org"), [("south", "north_hospital"), (SITE, "south_hospital")])
def test_a_certificate_of_another_site_is_rejected(root, authority, refused, name, org):
    issue(root, authority, begins=NOW, ends=NOW + 90 * DAY, name=name, org=org)
    refused(found(root)["kit.names"], f"the certificate is of {name!r}, organization {org!r}", "reject")


def tamper(startup):
    write(startup / "fed_client.json", read(startup / "fed_client.json") | {"require_signed_jobs": False})


def add_a_file(startup):
    (startup / "extra__resources.json").write_text("{}")


def add_a_folder(startup):
    (startup / "custom").mkdir()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("change", "named"),
    [(tamper, "fed_client.json"), (add_a_file, "extra__resources.json"), (add_a_folder, "custom")],
)
def test_a_change_in_startup_is_found_by_its_signature(root, refused, change, named):
    change(root / "startup")
    finding = found(root)["kit.signature"]
    refused(finding, f"since the project admin signed startup/: {named}", "do not start this kit")
    assert finding.data["changed"] == [named]


def test_the_hospital_may_change_its_own_files(root):
    (root / "local" / "resources.json").write_text("{}")
    assert found(root)["kit.signature"].status is Status.OK


def test_a_kit_without_signatures_is_not_called_unchanged(root):
    (root / "startup" / "signature.json").unlink()
    finding = found(root)["kit.signature"]
    assert finding.status is Status.SKIPPED
    assert "nvflare package" in finding.seen


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("content", ["{", '{"fed_client.json": "x"}', '{"fed_client.json": 1}'])
def test_a_broken_signature_file_is_rejected(root, refused, content):
    (root / "startup" / "signature.json").write_text(content)
    refused(found(root)["kit.signature"], "can't be read", "do not start this kit")


def test_thirty_days_are_the_limit(root, authority, monkeypatch):
    issue(root, authority, begins=NOW, ends=NOW + 20 * DAY)
    monkeypatch.setattr(credentials, "WARN_DAYS", 10)
    assert found(root)["kit.expiry"].status is Status.OK
