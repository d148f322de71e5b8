import pytest
from learning.tiny import LEARNING

from consilium.federation.site.executor import SiteExecutor
from federation.flare import Engine

from .compared_jobs import twelve_patients


@pytest.fixture
def engine(tmp_path):
    return Engine(tmp_path / "workspace")


@pytest.fixture
def executor():
    return SiteExecutor(LEARNING.model_dump(mode="json"))


@pytest.fixture
def hospital(tmp_path):
    return twelve_patients(tmp_path)
