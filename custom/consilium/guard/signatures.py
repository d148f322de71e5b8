"""Verification of a job's signature and signer.

FLARE's console signs the files of a job with the user's key before the server gives the job an id, so a
signature names neither job nor date. FLARE takes it from any holder of a certificate under the federation's
root, a hospital's included, and any number of times.

Here a signature counts if its signer has the right to submit by the site's own policy, is the submitter that
the server names (or the job is a copy of another), and has a certificate that is valid today. The site
remembers which job each signature came with. With another job it counts only if that job says which of those
it copies or resumes, and only for a limited time after the first. The job itself comes again and starts
only for some days, and only as it was described first; what continues it later is another job.

What remains open: a server may hold a signature back and send it later, as long as the signer's certificate
is valid, and may call a job a copy that no user requested. In both cases what runs is exactly a job that an
authorized user once submitted.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import VerificationError
from nvflare.fuel.sec.admin_cert import AdminCertValidationError, validate_admin_leaf_cert
from nvflare.fuel.sec.authz import AuthorizationService, AuthzContext, Person
from nvflare.lighter.tool_consts import NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE
from nvflare.lighter.utils import load_crt, load_crt_chain_bytes, verify_cert_chain, verify_content

from consilium.errors import ConfigurationError, JobRejected, RefusalCode
from consilium.guard.job_meta import DeployedMeta
from consilium.recipes.base import CLIENT_CONFIG, SERVER_CONFIG
from consilium.recipes.strict_json import parse_json

_RIGHT: Final = "submit_job"
_MAX_CERTIFICATE_BYTES: Final = 16 * 1024
_SIGNED: Final[dict[str, dict[str, bytes | None]]] = {
    "": {"config": b"config"},
    "config/": {name.removeprefix("config/"): None for name in (SERVER_CONFIG, CLIENT_CONFIG)},
}
"""Folder of an app to what its signature file covers; None for the content of the file of that name."""


@dataclass(frozen=True)
class Signature:
    """A verified signature on an app.

    Attributes:
        name: The signer's.
        org: The signer's organization.
        role: The signer's role, as the certificate has it.
        expires: When the certificate does, in seconds since 1970.
        digests: Of the signatures on both configurations.
    """

    name: str
    org: str
    role: str
    expires: float
    digests: tuple[str, ...]


def is_signed(files: Mapping[str, bytes]) -> bool:
    """Whether an app holds any part of a signature."""
    return any(name.rpartition("/")[2] in (NVFLARE_SIG_FILE, NVFLARE_SUBMITTER_CRT_FILE) for name in files)


def verify_app(files: Mapping[str, bytes], root_certificate: Path) -> Signature:
    """Verify that one user of the federation has signed an app as a whole.

    Args:
        files: The app's, by their names relative to its folder.
        root_certificate: The federation's.

    Raises:
        JobRejected: If not.
    """
    chain = _single_chain(files)
    digests: list[str] = []
    try:
        leaf = chain[0]
        verify_cert_chain(leaf, chain[1:], load_crt(str(root_certificate)))
        validate_admin_leaf_cert(leaf)
        for folder, covered in _SIGNED.items():
            signatures = _read_signatures(files[f"{folder}{NVFLARE_SIG_FILE}"], covered)
            for name, content in covered.items():
                verify_content(
                    files[folder + name] if content is None else content, signatures[name], leaf.public_key()
                )
                if content is None:
                    digests.append(hashlib.sha256(signatures[name]).hexdigest())
    except (
        AdminCertValidationError, AttributeError, InvalidSignature, KeyError, OSError, TypeError, ValueError,
        VerificationError,
    ) as error:  # fmt: skip
        raise JobRejected(
            f"its signature does not hold ({type(error).__name__})", code=RefusalCode.JOB_SIGNATURE
        ) from None
    return Signature(
        name=_subject(leaf, NameOID.COMMON_NAME),
        org=_subject(leaf, NameOID.ORGANIZATION_NAME),
        role=_subject(leaf, NameOID.UNSTRUCTURED_NAME),
        expires=leaf.not_valid_after_utc.timestamp(),
        digests=tuple(digests),
    )


def check_signer(signature: Signature, meta: DeployedMeta) -> None:
    """Check that a job's signer may submit jobs here, and is the submitter named by the server.

    Raises:
        JobRejected: If not.
    """
    signer = Person(signature.name, signature.org, signature.role)
    authorizer = AuthorizationService.get_authorizer()
    # Not `authorize`: FLARE's permits everything to a role `super`, and to all where there is no policy.
    context = AuthzContext(right=_RIGHT, user=signer, submitter=signer)
    if authorizer is None or authorizer.evaluate(context)[0] is not True:
        raise JobRejected(
            f"it is signed by {signature.name!a}, whose role {signature.role!a} has no right to submit here",
            code=RefusalCode.JOB_SIGNER,
        )
    submitter = (meta.submitter_name, meta.submitter_org)
    if meta.cloned_from is None and submitter != (signature.name, signature.org):
        raise JobRejected(
            f"it is signed by {signature.name!a}, but submitted by {meta.submitter_name!a}, says the server",
            code=RefusalCode.JOB_SIGNER,
        )


def _single_chain(files: Mapping[str, bytes]) -> list[x509.Certificate]:
    contents = {files.get(f"{folder}{NVFLARE_SUBMITTER_CRT_FILE}") for folder in _SIGNED}
    content = next(iter(contents))
    if len(contents) != 1 or content is None or len(content) > _MAX_CERTIFICATE_BYTES:
        raise JobRejected("its folders are not signed with one certificate", code=RefusalCode.JOB_SIGNATURE)
    try:
        chain: list[x509.Certificate] = load_crt_chain_bytes(content)
    except ValueError:
        raise JobRejected("its certificate can't be read", code=RefusalCode.JOB_SIGNATURE) from None
    return chain


def _read_signatures(content: bytes, covered: Iterable[str]) -> dict[str, bytes]:
    try:
        entries = parse_json(content)
    except ConfigurationError as error:
        raise JobRejected(f"its signature: {error}", code=RefusalCode.JOB_SIGNATURE) from None
    if not isinstance(entries, dict) or set(entries) != set(covered):
        raise JobRejected("its signature covers other files than it holds", code=RefusalCode.JOB_SIGNATURE)
    return {name: b64decode(text, validate=True) for name, text in entries.items()}


def _subject(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> str:
    values = certificate.subject.get_attributes_for_oid(kind)
    return str(values[0].value) if len(values) == 1 else ""
