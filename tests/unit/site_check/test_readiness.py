import json

import pytest

from consilium.provisioning.kit import Kit
from consilium.site_check import network
from consilium.site_check.finding import SiteCheck, Status
from consilium.site_check.readiness import Readiness, check_site

from .federation import SERVER, SITE

IDS = [
    "kit.files",
    "kit.certificate",
    "kit.expiry",
    "kit.names",
    "kit.key",
    "kit.key_permissions",
    "kit.signature",
    "kit.start",
    "policy.classes",
    "policy.jobs",
    "policy.log_streaming",
    "policy.byoc",
    "policy.rights",
    "policy.scope",
    "policy.tasks",
    "policy.privacy",
    "policy.secure_aggregation",
    "modes.kit",
    "modes.policy",
    "modes.owner",
    "modes.umask",
    "modes.records",
    "modes.parents",
    "software.python",
    "software.nvflare",
    "software.versions",
    "network.dns",
    "network.tcp",
    "network.tls",
    "dataset.cases",
    "dataset.labels",
    "machine.gpus",
    "machine.gpu_memory",
    "machine.shared_memory",
    "machine.cache_disk",
    "machine.workspace_disk",
    "machine.clock",
    "machine.account",
]


def test_a_kit_as_provisioned_lacks_its_dataset_only(kits, job):
    readiness = check_site(Kit(kits / SITE), job, offline=True)
    failed = [finding.id for finding in readiness.findings if finding.status is Status.FAILED]
    assert failed == ["dataset.cases"]


def test_no_remedy_stands_twice_and_json_points_nowhere(root, job):
    (root / "startup/rootCA.pem").unlink()  # which several checks need
    (root / "startup/start.sh").unlink()
    (root / "local/privacy.json").write_text("{")
    readiness = check_site(Kit(root), job, offline=True)
    remedies = [
        one.remedy for one in readiness.findings if one.remedy and not one.remedy.startswith("as for")
    ]
    assert len(remedies) == len(set(remedies))
    titles = {one.title for one in readiness.findings}
    again = [one.remedy for one in readiness.findings if one.remedy and one.remedy.startswith("as for: ")]
    assert again
    assert {remedy.removeprefix("as for: ") for remedy in again} <= titles
    assert "see below" not in json.dumps(readiness.as_json())


def spoil_nothing(root):
    pass


def spoil_everything(root):
    for folder in ("startup", "local"):
        for path in (root / folder).iterdir():
            if path.name != "fed_client.json":
                path.unlink()


def snapshot(*folders):
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for folder in folders
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize("spoil", [spoil_nothing, spoil_everything])
def test_every_check_reports_once_in_one_order(root, job, spoil):
    spoil(root)
    reported = []
    readiness = check_site(Kit(root), job, offline=True, on_finding=reported.append)
    assert [finding.id for finding in readiness.findings] == IDS
    assert tuple(reported) == readiness.findings
    assert readiness.ready == (spoil is spoil_nothing)


def test_the_server_s_kit_is_checked_as_far_as_it_goes(kits, job):
    readiness = check_site(Kit(kits / SERVER), job)
    assert [finding.id for finding in readiness.findings] == IDS
    assert readiness.site == SERVER


def test_nothing_is_written_and_no_key_is_shown(root, dataset, job, monkeypatch):
    monkeypatch.setattr(network, "TIMEOUT", 1.0)
    before = snapshot(root, dataset)
    readiness = check_site(Kit(root), job)
    assert snapshot(root, dataset) == before
    key_lines = (root / "startup" / "client.key").read_text().splitlines()
    output = json.dumps(readiness.as_json(cases=True))
    assert not any(line in output for line in key_lines)


def test_json_has_stable_keys_and_names_no_case_unless_asked():
    cases = SiteCheck("dataset.cases", "Cases").failed(
        "none", "add some", data={"cases": 0}, details=["/data"], cases=["case mueller"]
    )
    readiness = Readiness("north", "consilium", "job", (cases,))
    content = readiness.as_json()
    assert content == {
        "format": 1,
        "site": "north",
        "project": "consilium",
        "job": "job",
        "ready": False,
        "checks": [
            {
                "id": "dataset.cases",
                "title": "Cases",
                "status": "failed",
                "seen": "none",
                "remedy": "add some",
                "data": {"cases": 0},
            }
        ],
    }
    assert readiness.as_json(cases=True)["checks"][0]["details"] == ["/data", "case mueller"]


def test_warnings_do_not_keep_a_site_out():
    subject = SiteCheck("a.b", "a")
    findings = subject.warning("x", "y"), subject.skipped("z"), subject.ok("w")
    assert Readiness("n", "p", "j", findings).ready
    assert not Readiness("n", "p", "j", (*findings, subject.failed("x", "y"))).ready
    assert findings[0].status is Status.WARNING
