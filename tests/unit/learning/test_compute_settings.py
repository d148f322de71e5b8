import pytest

from consilium.errors import ConfigurationError
from consilium.learning.compute_settings import ComputeSettings


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "cpu; rm"])
def test_a_device_is_auto_cpu_or_cuda(name):
    with pytest.raises(ConfigurationError, match="device"):
        ComputeSettings.parse({"device": name}, source="privacy.json")
