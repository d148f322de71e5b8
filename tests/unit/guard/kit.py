"""A hospital's kit with a federation's certificates, and apps that users have signed."""

from __future__ import annotations

import datetime
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from nvflare.apis.workspace import Workspace
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    serialize_cert,
    serialize_pri_key,
    sign_folders,
)

from consilium.recipes.base import JobRecipe
from consilium.recipes.exported_job import export_job

JOB_ID = "9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00"
OTHER_ID = "0c9e7a52-3f0b-4c7e-8a3d-5b6c7d8e9f10"
LEAD, ORG = "scientist@consortium.example", "consortium"


@dataclass(frozen=True)
class Authority:
    """A federation's root."""

    identity: Identity
    key: object
    certificate: bytes


@dataclass(frozen=True)
class User:
    """A key and the certificate for it, as files."""

    name: str
    key: object
    certificate: Path


def new_authority() -> Authority:
    key, public = generate_keys()
    identity = Identity("consortium", "consortium")
    return Authority(identity, key, serialize_cert(generate_cert(identity, identity, key, public, ca=True)))


def new_user(
    folder: Path, root: Authority, name: str, role: str | None, *, org: str = ORG, days: float = 300
) -> User:
    """Make a user; with negative `days` the certificate ran out so long ago."""
    key, public = generate_keys()
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = generate_cert(
        Identity(name, org, role), root.identity, root.key, public,
        not_valid_before=now - datetime.timedelta(days=400),
        not_valid_after=now + datetime.timedelta(days=days),
    )  # fmt: skip
    path = folder / f"{name}-{role}-{days}.crt"
    path.write_bytes(serialize_cert(certificate))
    return User(name, key, path)


def make_site(folder: Path, root: Authority) -> Workspace:
    """Make the kit of a hospital."""
    for name in ("startup", "local", "cache"):
        (folder / name).mkdir(parents=True)
        (folder / name / "precious.txt").write_text("must stay")
    (folder / "startup/rootCA.pem").write_bytes(root.certificate)
    for name in ("fed_client.json", "fed_server.json"):
        (folder / "startup" / name).write_text(json.dumps({"format_version": 2}))
    (folder / "local/resources.json").write_text("{}")
    return Workspace(root_dir=str(folder), site_name="north")


def signed_app(recipe: JobRecipe, folder: Path, user: User | None) -> tuple[bytes, dict]:
    """Export a job and sign it as FLARE's console does; returns the app's archive and the server's meta."""
    job = export_job(recipe, folder)
    if user is not None:
        sign_folders(str(job), user.key, str(user.certificate))
    return pack(job / "app"), described(json.loads((job / "meta.json").read_text()))


def described(meta: dict, job_id: str = JOB_ID, **more: object) -> dict:
    """What the server makes of a job's meta."""
    who = {"submitter_name": LEAD, "submitter_org": ORG, "submitter_role": "lead"}
    return {**meta, **who, "job_id": job_id, "study": "default", "status": "SUBMITTED", **more}


def pack(app: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for path in sorted(app.rglob("*")):
            zipped.write(path, path.relative_to(app).as_posix())
    return buffer.getvalue()


def unpack(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Everything in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def key_file(user: User) -> bytes:
    return bytes(serialize_pri_key(user.key))
