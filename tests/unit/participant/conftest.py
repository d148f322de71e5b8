import pytest

from consilium.participant.site_settings import SiteSettings


@pytest.fixture
def site(tmp_path):
    return SiteSettings(dataset=tmp_path / "data", state_dir=tmp_path / "kit" / "site_state")
