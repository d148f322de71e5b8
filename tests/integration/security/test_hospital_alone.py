"""What a hospital refuses by itself, whatever a server lets through: FLARE's code with a hospital's kit."""

import base64
import io
import json
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path

import pytest
from nvflare.lighter.utils import load_private_key_file, sign_folders

from ..studies import export, read_json
from . import hostile
from .federation import LEAD, MEMBER, NORTH_ADMIN, read

pytestmark = pytest.mark.integration

SIGNERS = {"signed by an observer": MEMBER, "signed by a hospital's admin": NORTH_ADMIN}
ANYWAY = ("id of a folder", "id of its own")
"""What is wrong with these is only that a submitter chose the id; here every request has its own."""

IDS = {
    "id local": "local",
    "id startup": "startup",
    "id cache": "cache",
    "id of the kit": ".",
    "id that is a path": "../victim",
    "id that is an absolute path": "/etc",
    "id of another form": "9F2E0C4E58A54D7B9A0E4D1F3C2B1A00",
    "no id": None,
}
"""Ids that a server could name, of jobs that are in order otherwise."""


@pytest.fixture(scope="module")
def answers(federation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    ordinary = export(folder / "ordinary")
    jobs = {"ordinary": ordinary, **hostile.make(ordinary, folder)}
    for job in jobs.values():
        _sign(federation.kits[LEAD], job)
    apps = {name: _app(name, job) for name, job in jobs.items() if name not in ANYWAY}
    for name, who in SIGNERS.items():
        job = export(folder / name)
        _sign(federation.kits[who], job)
        apps[name] = _app(name, job)
    site_job = export(folder / "by the site")
    _sign(federation.kits["south"], site_job, "client")
    apps["signed by another hospital"] = _app("signed by another hospital", site_job)
    apps["unsigned"] = _app("unsigned", export(folder / "unsigned"))
    apps["replayed"] = {**apps["ordinary"], "job_id": _job_id("replayed")}
    apps["replayed"]["meta"] = {**apps["ordinary"]["meta"], "job_id": _job_id("replayed")}
    for name, job_id in IDS.items():
        meta = {**apps["ordinary"]["meta"], "job_id": job_id}
        apps[name] = {**apps["ordinary"], "job_id": job_id, "meta": meta}
    apps["two ids"] = {**apps["ordinary"], "job_id": _job_id("two ids")}
    apps["another app"] = {**_app("another app", ordinary), "app_name": "../local"}
    for name, more in (("unknown scope", {"scope": "research"}), ("ordinary at the end", {})):
        job = export(folder / name)
        _sign(federation.kits[LEAD], job)
        apps[name] = _app(name, job, **more)
    request = {"kit": str(federation.kits["alone"]), "site": "north", "org": "north_hospital", "apps": apps}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("deploy_at_site.py"))],
        input=json.dumps(request), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _sign(kit: Path, job: Path, name: str = "client") -> None:
    """Sign a job as FLARE's console does."""
    key = load_private_key_file(str(kit / f"startup/{name}.key"))
    sign_folders(str(job), key, str(kit / f"startup/{name}.crt"))


def _job_id(name: str) -> str:
    return str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_DNS, name).bytes, version=4))


def _app(name: str, job: Path, **more: str) -> dict[str, object]:
    who = {"submitter_name": LEAD, "submitter_org": "consortium", "submitter_role": "lead"}
    meta = {**read_json(job / "meta.json"), "job_id": _job_id(name), **who, **more}
    return {"job_id": _job_id(name), "meta": meta, "archive": _archive(job / "app")}


def _archive(app: Path) -> str:
    """Pack an app without entries for folders: FLARE's server finds code only by the entry of its folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(app.rglob("*")):
            if path.is_file():
                zipped.write(path, path.relative_to(app).as_posix())
    return base64.b64encode(buffer.getvalue()).decode()


REFUSED = {
    **{name: REASON for name, REASON in hostile.REASONS.items() if name not in ANYWAY},
    **dict.fromkeys(SIGNERS, "has no right to submit here"),
    "signed by another hospital": "has no right to submit here",
    "unsigned": "it is not signed",
    "replayed": "and this job is not a copy of that",
    **dict.fromkeys(IDS, "is none that FLARE gives a job"),
    "two ids": "and calls itself",
    "another app": "its app is '../local'",
}


@pytest.mark.parametrize("name", ["ordinary", "ordinary at the end"])
def test_an_ordinary_job_is_taken(answers, name):
    assert answers[name]["reply"] == "deployed app to north"
    assert f"{_job_id(name)}/app_north/config/config_fed_client.json" in answers[name]["changed"]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_hostile_job_is_rejected_and_on_record_and_changes_nothing(federation, answers, name):
    answer = answers[name]
    assert answer["reply"].startswith("this site rejects the job (")
    assert REFUSED[name].replace("'app/", "'") in answer["reply"].replace("'app/", "'")
    assert answer["changed"] == []
    entries = read(federation.kits["alone"] / "audit.log").splitlines()
    job_id = IDS.get(name, _job_id(name))
    assert any(f"[R:{job_id}]" in entry and "[A:job_rejected]" in entry for entry in entries)


def test_an_unknown_scope_is_rejected(answers):
    assert "privacy scope 'research' is not allowed" in answers["unknown scope"]["reply"]
