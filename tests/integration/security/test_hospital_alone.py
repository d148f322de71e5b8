"""What a hospital refuses by itself, whatever a server lets through: FLARE's code with a hospital's kit."""

import base64
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..studies import export, read_json
from . import hostile
from .federation import LEAD, read

pytestmark = pytest.mark.integration

FIT_FOR_A_SITE = {name for name in hostile.CHANGES if name not in ("builtins.eval",)}
"""`builtins.eval` stands in the server's configuration, which no hospital builds."""


@pytest.fixture(scope="module")
def answers(federation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    ordinary = export(folder / "ordinary")
    jobs = {"ordinary": ordinary, **hostile.make(ordinary, folder)}
    apps = {
        name: {"job_id": _job_id(name), "meta": _meta(job), "archive": _archive(job / "app")}
        for name, job in jobs.items()
    }
    apps["unknown scope"] = {**apps["ordinary"], "meta": {**_meta(ordinary), "scope": "research"}}
    request = {"kit": str(federation.kits["alone"]), "site": "north", "org": "north_hospital", "apps": apps}
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("deploy_at_site.py"))],
        input=json.dumps(request), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _job_id(name: str) -> str:
    return name.replace(" ", "-")


def _meta(job: Path) -> dict[str, str]:
    who = {"submitter_name": LEAD, "submitter_org": "consortium", "submitter_role": "lead"}
    return {**read_json(job / "meta.json"), **who}


def _archive(app: Path) -> str:
    """Pack an app without entries for folders: FLARE's server finds code only by the entry of its folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(app.rglob("*")):
            if path.is_file():
                zipped.write(path, path.relative_to(app).as_posix())
    return base64.b64encode(buffer.getvalue()).decode()


def test_an_ordinary_job_is_taken(answers):
    assert not answers["ordinary"]


@pytest.mark.parametrize("name", sorted(FIT_FOR_A_SITE))
def test_a_hostile_job_is_refused_and_on_record(federation, answers, name):
    assert answers[name].startswith("this site refuses the job: ")
    entries = read(federation.kits["alone"] / "audit.log").splitlines()
    assert any(f"[R:{_job_id(name)}]" in entry and "[A:job refused]" in entry for entry in entries)


def test_an_unknown_scope_is_refused(answers):
    assert answers["unknown scope"] == "privacy scope 'research' is not allowed"
