import json
from pathlib import Path

import pytest
from federation.flare import Engine
from nvflare.app_common.default_component_policy import DEFAULT_CLASS_ALLOW_LIST
from nvflare.app_common.widgets.component_path_authorizer import CLASS_ALLOW_LIST

from consilium.data.labels import LabelConvention
from consilium.federation.site.settings import read_site_settings
from consilium.learning.site_settings import SiteSettings
from consilium.provisioning.policy import allowed_classes, write_class_policy, write_site_policy


def test_a_job_may_name_flare_s_default_classes_and_ours_and_nothing_else(tmp_path):
    write_class_policy(tmp_path / "local")
    resources = json.loads((tmp_path / "local" / "resources.json").read_text())
    assert resources[CLASS_ALLOW_LIST] == [*DEFAULT_CLASS_ALLOW_LIST, "consilium."]
    # The dot: a package `consilium_evil` is not ours.
    assert [entry for entry in allowed_classes() if entry.startswith("consilium")] == ["consilium."]


@pytest.mark.parametrize(
    "settings",
    [
        SiteSettings(dataset=Path("/data/brats")),
        SiteSettings(
            dataset=Path("/data/brats"),
            cache_dir=Path("/scratch/cache"),
            cache_gib=1.5,
            label_convention=LabelConvention.BRATS_2023,
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
    assert read_site_settings(engine.context) == settings.model_copy(update=expected)
