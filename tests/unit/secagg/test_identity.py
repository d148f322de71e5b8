import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from consilium.errors import ConfigurationError
from consilium.secagg.identity import (
    SiteIdentity,
    fingerprint_of,
    format_fingerprint,
    is_signed,
    parse_fingerprint,
)


def test_an_identity_is_read_back_and_its_signatures_hold(tmp_path):
    made = SiteIdentity.create(tmp_path / "key.pem")
    read = SiteIdentity.read(tmp_path / "key.pem")
    assert read.fingerprint == made.fingerprint == fingerprint_of(made.public_key)
    signature = read.sign(b"statement")
    assert is_signed(made.public_key, b"statement", signature)
    assert not is_signed(made.public_key, b"another statement", signature)
    assert not is_signed(SiteIdentity.create(tmp_path / "other.pem").public_key, b"statement", signature)
    assert not is_signed(bytes(31), b"statement", signature)


def test_only_its_owner_can_read_it_under_any_umask(tmp_path):
    SiteIdentity.create(tmp_path / "key.pem")
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_it_is_never_overwritten(tmp_path):
    path = tmp_path / "key.pem"
    SiteIdentity.create(path)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        SiteIdentity.create(path)
    assert path.read_bytes() == before


def test_one_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key.pem"
    SiteIdentity.create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        SiteIdentity.read(path)


def other_key() -> bytes:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(("content", "match"), [
    (b"", "no private key"), (b"-----BEGIN PRIVATE KEY-----\nx", "no private key"),
    (other_key(), "an Ed25519 key is allowed"),
])  # fmt: skip
def test_what_is_no_identity_is_an_error(tmp_path, content, match):
    path = tmp_path / "key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=match):
        SiteIdentity.read(path)


def test_a_missing_one_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(ConfigurationError, match="consilium identity create"):
        SiteIdentity.read(tmp_path / "key.pem")


def test_a_fingerprint_is_read_as_people_write_it():
    fingerprint = bytes(range(32))
    text = format_fingerprint(fingerprint)
    for written in (text, text.lower(), text.replace(":", ""), f" {text[:48]} {text[48:]}\n"):
        assert parse_fingerprint(written) == fingerprint


@pytest.mark.parametrize("text", ["", "00:01", "zz" * 32, "00" * 33])
def test_what_is_no_fingerprint_is_an_error(text):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        parse_fingerprint(text)
