"""Check of the kit's files, certificates and key."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import VerificationError
from nvflare.fuel.sec.security_content_service import LoadResult, SecurityContentManager
from nvflare.lighter.constants import ProvFileName
from nvflare.lighter.utils import verify_cert_chain
from nvflare.tool.cert.fingerprint import cert_fingerprint_sha256

from consilium.counts import counted
from consilium.data.files import OTHERS
from consilium.errors import ConfigurationError
from consilium.provisioning.kit import Kit
from consilium.site_check.finding import SiteCheck, SiteFinding

WARN_DAYS = 30
"""A certificate that expires within so many days is a warning."""

FILES = SiteCheck("kit.files", "Kit complete")
CHAIN = SiteCheck("kit.certificate", "Certificate of this federation")
EXPIRY = SiteCheck("kit.expiry", "Certificates are valid now")
KEY = SiteCheck("kit.key", "Key fits the certificate")
KEY_PERMISSIONS = SiteCheck("kit.key_permissions", "Keys readable by their owner only")
NAMES = SiteCheck("kit.names", "Names agree")
SIGNATURE = SiteCheck("kit.signature", "Startup files as signed")

_SECRETS = ("*.key", "*.tenseal")
_NEW_KIT = "ask the project admin for the kit again, and compare its checksum before you unpack it"
_RENEW = "ask the project admin for a kit with a new certificate; keep your local/ folder"


def check_credentials(kit: Kit) -> Iterator[SiteFinding]:
    """Check files, chain, dates, key, names and signature of a kit."""
    yield _check_files(kit)
    try:
        chain = kit.read_certificates(kit.certificate_file)
        root = kit.read_certificates(kit.ca_file)[0]
    except ConfigurationError as error:
        yield CHAIN.failed(str(error), _NEW_KIT)
        for subject in (EXPIRY, NAMES):
            yield subject.skipped("there is no certificate to look at")
        yield KEY.skipped("there is no certificate to compare with")
    else:
        yield _check_chain(chain, root)
        yield _check_expiry(chain, root)
        yield _check_names(kit, chain[0])
        yield _check_key(kit, chain[0])
    yield _check_permissions(kit)
    yield _check_signature(kit)


def _check_files(kit: Kit) -> SiteFinding:
    needed = [
        kit.startup_file,
        kit.certificate_file,
        kit.key_file,
        kit.ca_file,
        *(f"startup/{name}" for name in kit.start_scripts),
    ]
    missing = [name for name in needed if not (kit.root / name).is_file()]
    missing += [
        f"local/{name}"
        for name in ("resources.json", "log_config.json", "authorization.json")
        if kit.policy_file(name) is None
    ]
    if missing:
        return FILES.failed(f"missing: {', '.join(missing)}", _NEW_KIT, data={"missing": missing})
    idle = [
        f"startup/{name}"
        for name in kit.start_scripts
        if not (kit.root / f"startup/{name}").stat().st_mode & stat.S_IXUSR
    ]
    if idle:
        return FILES.failed(
            f"{', '.join(idle)} can't be executed: FLARE would not start",
            f"chmod u+x {' '.join(idle)} (in the kit's folder); an archive unpacked without modes does this",
            data={"not_executable": idle},
        )
    whose = "hospital" if kit.kind == "client" else "server"
    return FILES.ok(f"kit of the {whose} {kit.site_name}, federation {kit.project}")


def _check_chain(chain: list[x509.Certificate], root: x509.Certificate) -> SiteFinding:
    try:
        # When all of them had begun: whether they are valid today is another check.
        begun = max(certificate.not_valid_before_utc for certificate in [*chain, root])
        verify_cert_chain(chain[0], chain[1:], root, now=begun)
    except (VerificationError, ValueError) as error:
        return CHAIN.failed(
            f"{_name(chain[0].subject)} was not issued by this kit's root {_name(root.subject)} ({error})",
            f"do not start this kit: its files come from different federations or were changed; {_NEW_KIT}",
        )
    fingerprint = cert_fingerprint_sha256(root)
    return CHAIN.ok(
        f"{_name(chain[0].subject)}, issued by {_name(chain[0].issuer)}; the CA's fingerprint, to compare by "
        f"telephone: {fingerprint}",
        data={"ca_fingerprint": fingerprint},
    )


def _check_expiry(chain: list[x509.Certificate], root: x509.Certificate) -> SiteFinding:
    now = datetime.now(timezone.utc)
    certificates = [*chain, root]
    first = min(certificates, key=lambda certificate: certificate.not_valid_after_utc)
    days = math.floor((first.not_valid_after_utc - now) / timedelta(days=1))
    until = f"{_name(first.subject)} until {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    data = {"not_after": first.not_valid_after_utc.isoformat(), "days_left": days}
    begins = max(certificate.not_valid_before_utc for certificate in certificates)
    if begins > now:
        return EXPIRY.failed(
            f"valid from {begins:%Y-%m-%d %H:%M} UTC, and here it is {now:%Y-%m-%d %H:%M} UTC",
            "set this machine's clock: timedatectl set-ntp true",
            data=data,
        )
    if days < 0:
        return EXPIRY.failed(f"{until}: expired {counted(-days, 'day')} ago", _RENEW, data=data)
    if days < WARN_DAYS:
        return EXPIRY.warning(f"{until}: {counted(days, 'day')} left", _RENEW, data=data)
    return EXPIRY.ok(f"{until}: {counted(days, 'day')} left", data=data)


def _check_names(kit: Kit, certificate: x509.Certificate) -> SiteFinding:
    common, organization = (
        _attribute(certificate.subject, oid) for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    )
    stated = {f"{kit.startup_file}": (kit.site_name, common)}
    script = kit.script_settings
    if script and kit.kind == "client":
        stated["startup/sub_start.sh (uid)"] = (script.get("uid", ""), common)
    if script:
        stated["startup/sub_start.sh (org)"] = (script.get("org", ""), organization)
    differing = [f"{place} says {name!r}" for place, (name, wanted) in stated.items() if name != wanted]
    if differing:
        return NAMES.failed(
            f"the certificate is of {common!r}, organization {organization!r}, but {'; '.join(differing)}",
            f"the server would reject this site: {_NEW_KIT}",
        )
    return NAMES.ok(f"{common}, organization {organization}")


def _check_key(kit: Kit, certificate: x509.Certificate) -> SiteFinding:
    try:
        key = serialization.load_pem_private_key(kit.read_text(kit.key_file).encode(), password=None)
    except ConfigurationError as error:
        return KEY.failed(str(error), f"run this as the account that will start FLARE, or {_NEW_KIT}")
    except (ValueError, TypeError):
        return KEY.failed(
            f"{kit.key_file} is not an unencrypted private key in PEM form, which FLARE needs", _NEW_KIT
        )
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        return KEY.failed(
            f"{kit.key_file} is not the key of {kit.certificate_file}",
            f"put the key that this certificate was requested with into {kit.key_file}, or {_NEW_KIT}",
        )
    return KEY.ok(f"{kit.key_file} is the key of {kit.certificate_file}")


def _check_permissions(kit: Kit) -> SiteFinding:
    """Check all secrets in `startup/`: there may be a listener's key and an encryption context as well."""
    names = {kit.key_file}
    names |= {f"startup/{path.name}" for kind in _SECRETS for path in kit.startup.glob(kind)}
    try:
        modes = {name: (kit.root / name).stat().st_mode & 0o777 for name in sorted(names)}
    except OSError:
        return KEY_PERMISSIONS.skipped(f"{kit.key_file} is missing or can't be looked at")
    seen = [f"{name} has mode {mode:04o}" for name, mode in modes.items()]
    wide = [name for name, mode in modes.items() if mode & OTHERS]
    if wide:
        return KEY_PERMISSIONS.failed(
            f"{', '.join(seen)}: other accounts of this machine can act as this site",
            f"chmod 600 {' '.join(wide)} (in the kit's folder); if others had access, ask for a new kit",
        )
    return KEY_PERMISSIONS.ok(", ".join(seen))


def _check_signature(kit: Kit) -> SiteFinding:
    """Verify what is signed, as FLARE does when it starts, and find what was put beside it."""
    if not (kit.startup / ProvFileName.SIGNATURE_JSON).exists():
        return SIGNATURE.skipped(
            f"there is no startup/{ProvFileName.SIGNATURE_JSON}, as in kits of `nvflare package`; ask the "
            "project admin whether there should be"
        )
    try:
        signed = SecurityContentManager(str(kit.startup), root_cert=Path(kit.ca_file).name)
    except (OSError, ValueError, AttributeError) as error:
        return SIGNATURE.failed(
            f"startup/{ProvFileName.SIGNATURE_JSON} can't be read: {type(error).__name__}",
            f"do not start this kit; {_NEW_KIT}",
        )
    unsigned = {ProvFileName.SIGNATURE_JSON, *kit.runtime_scripts}
    present = [path for path in sorted(kit.startup.iterdir()) if path.name not in unsigned]
    bad = [
        path.name
        for path in present
        # FLARE puts no folders there.
        if path.is_dir() or signed.load_content(path.name)[1] is not LoadResult.OK
    ]
    if bad:
        return SIGNATURE.failed(
            f"added or changed since the project admin signed startup/: {', '.join(bad)}",
            f"do not start this kit; {_NEW_KIT}. Files of your own belong into local/",
            data={"changed": bad},
        )
    return SIGNATURE.ok(f"{counted(len(present), 'file')} in startup/, as signed")


def _name(name: x509.Name) -> str:
    return _attribute(name, NameOID.COMMON_NAME) or name.rfc4514_string()


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    return next((str(attribute.value) for attribute in name.get_attributes_for_oid(oid)), "")
