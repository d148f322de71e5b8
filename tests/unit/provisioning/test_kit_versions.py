import json

import pytest

from consilium.errors import ConfigurationError
from consilium.federation.versions import component_versions
from consilium.provisioning.kit_versions import read_expected_versions, write_expected_versions


def test_a_kit_says_what_was_installed_where_it_was_provisioned(tmp_path):
    write_expected_versions(tmp_path)
    installed = component_versions()
    assert read_expected_versions(tmp_path) == {name: installed[name] for name in ("consilium", "nvflare")}


def test_a_kit_may_say_nothing(tmp_path):
    assert read_expected_versions(tmp_path) is None


def test_an_unknown_package_is_an_error_that_names_the_nearest(tmp_path):
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "consilium.json").write_text(
        json.dumps({"consilium": "0.1.0", "nvflare": "2.9.0", "nvflair": "2"})
    )
    with pytest.raises(ConfigurationError, match="did you mean 'nvflare'"):
        read_expected_versions(tmp_path)
