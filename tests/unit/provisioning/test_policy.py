import json
from pathlib import Path

import pytest
from federation.flare import Engine
from nvflare.apis.fl_constant import FilterKey
from nvflare.apis.workspace import Workspace
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.app_common.widgets.component_path_authorizer import CLASS_ALLOW_LIST
from nvflare.private.fed.app.fl_conf import create_privacy_manager

from consilium.federation.site.local_settings import read_site_settings
from consilium.guard.flare_app_validator import class_fault
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.policy import (
    SiteFilter,
    allowed_classes,
    write_class_policy,
    write_json,
    write_site_policy,
)
from consilium.recipes.classes import CLIENT_CLASSES, SERVER_CLASSES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention


@pytest.mark.parametrize(("kind", "classes"), [("server", SERVER_CLASSES), ("client", CLIENT_CLASSES)])
def test_a_job_may_name_what_our_recipes_write_and_nothing_else(monkeypatch, kind, classes):
    """As FLARE reads the list: an entry that ends in a dot would let a whole package through."""
    listed = allowed_classes(kind)
    assert sorted(listed) == sorted(classes)
    assert not [entry for entry in listed if entry.endswith((".", "*"))]
    monkeypatch.setattr(
        "nvflare.fuel.utils.config_service.ConfigService.get_section", lambda name: {CLASS_ALLOW_LIST: listed}
    )
    assert all(class_fault(path) is None for path in listed)
    others = {
        *DEFAULT_CLASS_ALLOW_LIST, *SERVER_CLASSES, *CLIENT_CLASSES, "subprocess.Popen",
        "consilium.federation.updates.spool.UpdateSpool", "consilium.guard.server_guard.ZipFile",
        *(f"{path}x" for path in listed), *(path.rpartition(".")[0] for path in listed),
    } - set(listed)  # fmt: skip
    assert not [path for path in others if class_fault(path) is None]


def test_a_simulation_s_server_and_sites_share_one_list(tmp_path):
    write_class_policy(tmp_path / "local")
    resources = json.loads((tmp_path / "local" / "resources.json").read_text())
    assert resources[CLASS_ALLOW_LIST] == [*allowed_classes("server"), *allowed_classes("client")]


@pytest.mark.parametrize(
    "settings",
    [
        SiteSettings(dataset=Path("/data/brats")),
        SiteSettings(
            dataset=Path("/data/brats"),
            cache_dir=Path("/scratch/cache"),
            cache_gib=1.5,
            label_convention=LabelConvention.BRATS_2023,
            file_endings={"t1ce": ("T1_KM", "T1-gad")},
            role="evaluates",
            device="cuda:1",
            cpu_threads=3,
            loader_workers=2,
        ),
    ],
)
def test_a_site_reads_back_what_was_written_for_it(tmp_path, settings):
    engine = Engine(tmp_path)
    write_site_policy(engine.local, settings)
    names = ("cache_dir", "state_dir")
    expected = {name: tmp_path / getattr(settings, name) for name in names}  # relative to the workspace
    assert read_site_settings(engine.context, "brain_tumor") == settings.model_copy(update=expected)


def test_a_hospital_s_own_filter_need_not_be_on_the_list_of_classes(tmp_path):
    path = "nvflare.app_common.filters.exclude_vars.ExcludeVars"
    assert path not in allowed_classes("client")
    local = tmp_path / "local"
    write_json(local / "resources.json", {CLASS_ALLOW_LIST: allowed_classes("client")})
    write_site_policy(
        local, SiteSettings(dataset=Path("/data/brats")), task_result_filters=[SiteFilter(path=path)]
    )
    (tmp_path / "startup").mkdir()
    manager = create_privacy_manager(Workspace(str(tmp_path), "north"), names_only=False)
    (own,) = manager.default_scope.task_result_filters[FilterKey.OUT]
    assert type(own).__name__ == "ExcludeVars"
