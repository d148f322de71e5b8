"""Whose signature on a job counts at this site, and for which job.

FLARE's console signs the files of a job with the user's key before the server gives the job an id, so a
signature names neither job nor date. FLARE takes it from any holder of a certificate under the federation's
root, a hospital's included, and any number of times.

Here a signature counts if its signer has the right to submit by the site's own policy, is the submitter that
the server names (or the job is a copy of another), and has a certificate that is valid today. The site
remembers which job each signature came with. With another job it counts only if that job says which of those
it copies or resumes, and only for a limited time after the first. The job itself comes again and starts
only for some days, and only as it was described first; what continues it later is another job.

What remains open: a server may hold a signature back and send it later, as long as the signer's certificate
is valid, and may call a job a copy that nobody asked for. In both cases what runs is exactly a job that an
authorized user once submitted.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
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
from pydantic import Field, ValidationError

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.federation.names import JobId
from consilium.guard.job_meta import DECIDED, DeployedMeta
from consilium.recipes.base import CLIENT_CONFIG, SERVER_CONFIG
from consilium.recipes.strict_json import parse_json
from consilium.settings import Settings

ACCEPTED_FILE: Final = "accepted_jobs.json"
"""In the site's workspace: the jobs that were let in, with their signatures' digests."""

COPY_DAYS: Final = 60
"""For how long after its first job a signature counts with copies and resumptions of it."""

JOB_DAYS: Final = 30
"""For how long after a job first came it may come again and be started: where a site falls out of a job, it
is started there again, and a job over slow lines may take weeks."""

MAX_JOBS: Final = 10_000
"""That a site remembers; those whose signer's certificate has run out are forgotten first."""

_RIGHT: Final = "submit_job"
_SECONDS_PER_DAY: Final = 24 * 60 * 60
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
        ConfigurationError: If not.
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
        raise ConfigurationError(f"its signature does not hold ({type(error).__name__})") from None
    return Signature(
        name=_subject(leaf, NameOID.COMMON_NAME),
        org=_subject(leaf, NameOID.ORGANIZATION_NAME),
        role=_subject(leaf, NameOID.UNSTRUCTURED_NAME),
        expires=leaf.not_valid_after_utc.timestamp(),
        digests=tuple(digests),
    )


def check_signer(signature: Signature, meta: DeployedMeta) -> None:
    """Check that who signed a job may submit one here, and is who the server says that it is from.

    Raises:
        ConfigurationError: If not.
    """
    signer = Person(signature.name, signature.org, signature.role)
    authorizer = AuthorizationService.get_authorizer()
    # Not `authorize`: FLARE's permits everything to a role `super`, and to all where there is no policy.
    context = AuthzContext(right=_RIGHT, user=signer, submitter=signer)
    if authorizer is None or authorizer.evaluate(context)[0] is not True:
        raise ConfigurationError(
            f"it is signed by {signature.name!a}, whose role {signature.role!a} has no right to submit here"
        )
    submitter = (meta.submitter_name, meta.submitter_org)
    if meta.cloned_from is None and submitter != (signature.name, signature.org):
        raise ConfigurationError(
            f"it is signed by {signature.name!a}, and the server says that it is from {meta.submitter_name!a}"
        )


class _AcceptedJob(Settings):
    """A job that was let in."""

    signatures: tuple[str, ...] = Field(description="SHA-256 of the signatures on its configurations.")
    first: float = Field(description="When these came first, with whatever job, in seconds since 1970.")
    expires: float = Field(description="When the signer's certificate does, in seconds since 1970.")
    came: float | None = Field(
        None, description="When this job came first, in seconds since 1970; unknown of jobs before that."
    )
    decided: str | None = Field(
        None, description="SHA-256 of what stays the same in its description; unknown of jobs before that."
    )


class _AcceptedJobs(Settings):
    jobs: dict[JobId, _AcceptedJob]


class SignatureMemory:
    """Which job each signature came with, in a file that outlives the site's processes.

    Args:
        workspace: The site's.
    """

    _lock = threading.Lock()

    def __init__(self, workspace: Path) -> None:
        self._path = workspace / ACCEPTED_FILE

    def accept(self, signature: Signature, meta: DeployedMeta) -> None:
        """Let a signature count for a job, and remember that.

        The same job may come again for some days: a server that was killed before the job ran deploys it
        once more.

        Raises:
            ConfigurationError: If it came with another job before and this one is no copy of that, or too
                late; if this job came with another signature or description, or too long ago; if the file
                can't be read or written.
        """
        with self._lock:
            now = time.time()
            jobs = {job_id: job for job_id, job in self._read().items() if job.expires > now}
            same = jobs.get(meta.job_id)
            if same is not None:
                _check_same(same, signature, meta, now)
            jobs[meta.job_id] = _AcceptedJob(
                signatures=signature.digests,
                first=_first_use(jobs, signature, meta, now) if same is None else same.first,
                expires=signature.expires,
                came=now if same is None else _came(same),
                decided=_digest(meta),
            )
            if len(jobs) > MAX_JOBS:
                raise ConfigurationError(
                    f"this site remembers {MAX_JOBS} jobs and takes no other; its IT department can move "
                    f"{ACCEPTED_FILE} away"
                )
            self._write(jobs)

    def check_start(self, meta: DeployedMeta) -> None:
        """Check that a job that a server would start was let in, as it is described, some days ago at most.

        Raises:
            ConfigurationError: If not, or if the file can't be read.
        """
        with self._lock:
            job = self._read().get(meta.job_id)
        now = time.time()
        if job is None or job.expires <= now:
            raise ConfigurationError(
                f"job {meta.job_id} is none that this site has accepted; submit it again"
            )
        _check_recent(job, meta, now)

    def _read(self) -> dict[str, _AcceptedJob]:
        try:
            return dict(_AcceptedJobs.model_validate_json(self._path.read_bytes()).jobs)
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise ConfigurationError(
                f"this site can't read its {ACCEPTED_FILE} ({type(error).__name__}); its IT department can "
                "restore it, or move it away"
            ) from None

    def _write(self, jobs: dict[str, _AcceptedJob]) -> None:
        try:
            write_atomically(self._path, _AcceptedJobs(jobs=jobs).model_dump_json(indent=1).encode())
        except OSError as error:
            raise ConfigurationError(
                f"this site can't write its {ACCEPTED_FILE} ({type(error).__name__})"
            ) from None


def _check_same(same: _AcceptedJob, signature: Signature, meta: DeployedMeta, now: float) -> None:
    if same.signatures != signature.digests:
        raise ConfigurationError(f"job {meta.job_id} came to this site before, with another signature")
    _check_recent(same, meta, now)


def _check_recent(job: _AcceptedJob, meta: DeployedMeta, now: float) -> None:
    if now - _came(job) > JOB_DAYS * _SECONDS_PER_DAY:
        raise ConfigurationError(
            f"job {meta.job_id} came to this site more than {JOB_DAYS} days ago; resume it or submit it again"
        )
    if job.decided is not None and job.decided != _digest(meta):
        raise ConfigurationError(f"job {meta.job_id} came to this site before, with another description")


def _came(job: _AcceptedJob) -> float:
    return job.first if job.came is None else job.came


def _digest(meta: DeployedMeta) -> str:
    decided = meta.model_dump(mode="json", include=set(DECIDED))
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()


def _first_use(
    jobs: Mapping[str, _AcceptedJob], signature: Signature, meta: DeployedMeta, now: float
) -> float:
    """When a signature came first; it may come with this job."""
    earlier = {job_id: job for job_id, job in jobs.items() if set(job.signatures) & set(signature.digests)}
    if not earlier:
        return now
    first = min(job.first for job in earlier.values())
    if not earlier.keys() & {meta.cloned_from, meta.resume}:
        raise ConfigurationError(
            f"its signature came with job {next(iter(earlier))} before, and this job is no copy of that; "
            "submit it again"
        )
    if now - first > COPY_DAYS * _SECONDS_PER_DAY:
        raise ConfigurationError(
            f"its signature is more than {COPY_DAYS} days old; submit it again instead of a copy"
        )
    return first


def _single_chain(files: Mapping[str, bytes]) -> list[x509.Certificate]:
    contents = {files.get(f"{folder}{NVFLARE_SUBMITTER_CRT_FILE}") for folder in _SIGNED}
    content = next(iter(contents))
    if len(contents) != 1 or content is None or len(content) > _MAX_CERTIFICATE_BYTES:
        raise ConfigurationError("its folders are not signed with one certificate")
    try:
        chain: list[x509.Certificate] = load_crt_chain_bytes(content)
    except ValueError:
        raise ConfigurationError("its certificate can't be read") from None
    return chain


def _read_signatures(content: bytes, covered: Iterable[str]) -> dict[str, bytes]:
    entries = parse_json(content)
    if not isinstance(entries, dict) or set(entries) != set(covered):
        raise ConfigurationError("its signature covers other files than it holds")
    return {name: b64decode(text, validate=True) for name, text in entries.items()}


def _subject(certificate: x509.Certificate, kind: x509.ObjectIdentifier) -> str:
    values = certificate.subject.get_attributes_for_oid(kind)
    return str(values[0].value) if len(values) == 1 else ""
