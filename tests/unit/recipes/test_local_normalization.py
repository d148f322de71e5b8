"""A job of local normalization names a network that has something to keep at the sites."""

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe


def test_a_network_without_affine_parameters_is_rejected_as_the_job_is_written():
    assert build_recipe("brain_tumor_fedbn").settings.learning.network == "segresnet"
    with pytest.raises(ConfigurationError, match=r"'unet_small' has no affine parameters .*=segresnet"):
        build_recipe("brain_tumor_fedbn", {"learning.network": "unet_small"})
