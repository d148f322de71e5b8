"""Certificates that an attacker might come with."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey


def put_foreign_certificate(kit: Path) -> None:
    """Give a site's kit a certificate in the site's name by another authority of the same name."""
    _put_certificate(kit, _new_key(), valid_days=30)


def put_expired_certificate(kit: Path, state: Path) -> None:
    """Give a site's kit a certificate by the right authority that expired yesterday.

    Args:
        kit: The kit.
        state: Folder with the project's root key.
    """
    text = json.loads((state / "cert.json").read_text())["root_pri_key"]
    root_key = serialization.load_pem_private_key(text.encode(), password=None)
    assert isinstance(root_key, RSAPrivateKey)
    _put_certificate(kit, root_key, valid_days=-1)


def _put_certificate(kit: Path, issuer_key: RSAPrivateKey, *, valid_days: int) -> None:
    path = kit / "startup/client.crt"
    real = x509.load_pem_x509_certificate(path.read_bytes())
    key = _new_key()
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(real.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=valid_days))
    )
    for extension in real.extensions:
        if not isinstance(extension.value, x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier):
            builder = builder.add_extension(extension.value, extension.critical)
    path.write_bytes(builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    path.with_name("client.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _new_key() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
