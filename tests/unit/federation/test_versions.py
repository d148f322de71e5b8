import pytest

from consilium.federation.versions import component_versions, incompatibility

HERE = {"consilium": "0.1.0", "nvflare": "2.9.0", "torch": "2.13.0+cpu"}


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"consilium": "0.1.7"},
        {"nvflare": "2.9.1rc1"},
        {"torch": "2.8.0+cu126", "monai": "1.6.0"},
    ],
)
def test_patch_releases_and_other_packages_may_differ(other):
    assert incompatibility(HERE, HERE | other) is None


@pytest.mark.parametrize(
    ("other", "reported"),
    [
        ({"consilium": "0.2.0"}, "consilium 0.1.0 here and 0.2.0 there"),
        ({"consilium": "1.1.0"}, "consilium 0.1.0 here and 1.1.0 there"),
        ({"consilium": "0.10.0"}, "consilium 0.1.0 here and 0.10.0 there"),
        ({"nvflare": "2.10.0"}, "nvflare 2.9.0 here and 2.10.0 there"),
    ],
)
def test_another_series_does_not_fit(other, reported):
    assert reported in incompatibility(HERE, HERE | other)


def test_every_difference_is_named():
    reason = incompatibility(HERE, {"consilium": "0.2.0", "nvflare": "2.8.0"})
    assert "consilium" in reason
    assert "nvflare" in reason


def test_a_version_that_was_not_sent_does_not_fit():
    assert "nvflare 2.9.0 here and missing there" in incompatibility(HERE, {"consilium": "0.1.0"})


def test_this_installation_fits_itself():
    assert incompatibility(component_versions(), component_versions()) is None
