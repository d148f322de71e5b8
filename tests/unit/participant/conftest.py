from functools import partial

import pytest

from consilium.participant.site_settings import SiteSettings
from participant.paying import hospital_in


@pytest.fixture
def site(tmp_path):
    return SiteSettings(dataset=tmp_path / "data", state_dir=tmp_path / "kit" / "site_state")


@pytest.fixture
def hospital(tmp_path):
    """Makes a hospital of its demand, with a register and so a ledger's key."""
    return partial(hospital_in, tmp_path)
