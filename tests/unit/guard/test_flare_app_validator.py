import shutil

import pytest
from federation.job_files import JOBS
from nvflare.fuel.f3.cellnet import cell as cell_module
from nvflare.fuel.f3.cellnet.core_cell import CoreCell

from consilium.errors import ConfigurationError
from consilium.guard.flare_app_validator import FlareAppValidator, class_fault
from consilium.guard.guarded_cell import GuardedCell

pytestmark = pytest.mark.usefixtures("allow_list", "guarded")


@pytest.fixture
def guarded(monkeypatch):
    monkeypatch.setattr(cell_module, "CoreCell", GuardedCell)


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "run" / "job-1" / "app_north"
    shutil.copytree(JOBS[0] / "app", folder)
    return folder


@pytest.mark.parametrize("side", ["server", "client"])
def test_an_ordinary_app_is_taken(app, audited, side):
    assert FlareAppValidator(side).validate(str(app)) == ("", {})
    assert audited == []


def test_no_job_runs_at_a_site_whose_kit_has_no_guard(app, audited, monkeypatch):
    """As one has that was provisioned before there was a guard."""
    monkeypatch.setattr(cell_module, "CoreCell", CoreCell)
    assert "lacks the component `guard`" in FlareAppValidator("client").validate(str(app))[0]
    assert len(audited) == 1


def test_code_links_and_other_files_are_rejected_and_recorded(app, audited):
    (app / "custom").mkdir()
    assert "contains code" in FlareAppValidator("client").validate(str(app))[0]
    (app / "custom").rmdir()
    (app / "config/link").symlink_to("/etc/passwd")
    assert "holds a link" in FlareAppValidator("client").validate(str(app))[0]
    (app / "config/link").unlink()
    (app / "config/padding").write_bytes(bytes(2_000_000))
    assert "at most 1048576 bytes" in FlareAppValidator("client").validate(str(app))[0]
    assert [event["ref"] for event in audited] == ["job-1"] * 3


def test_the_sites_list_decides_about_classes():
    assert class_fault("consilium.federation.site.executor.SiteExecutor") is None
    assert "class_allow_list" in class_fault("subprocess.Popen")


def test_a_side_that_is_none_is_an_error():
    with pytest.raises(ConfigurationError, match="allowed: server, client"):
        FlareAppValidator("clinet")
