"""Local normalization: scale and shift of the normalization layers stay at each site; the FedBN idea.

Li et al. 2021, arXiv:2102.07623, keep batch normalization local, statistics included. Our networks normalize
by instance or group, which has no statistics of a site, so what remains of the idea are the layers' affine
parameters g and b in `g (x - mean) / deviation + b`. Each site trains all weights, sends the difference of
the others only, and continues with its own g and b. They adapt the shared filters to a site's scanner. The
server's half is that of federated averaging, over the shared weights.

Every site with training patients has a model of its own, and its scores are those of that model. The model
that the server has and the job returns holds g and b of the start, 1 and 0 where the weights are drawn: that
is what a hospital without training patients uses, and what its scores in the same job are of. A bundle of it
is no site's model.

Costs no bytes (fewer: g and b aren't sent back) and no seconds; at the site, state of these parameters for
each round. Excludes nothing: the update is a difference like FedAvg's of fewer weights. A network without
affine parameters in its normalization, such as `unet_small`, can't be trained by it.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

from consilium.learning.algorithms.base import AlgorithmSettings

_AFFINE: Final = re.compile(r"(?:^|\.)(?:norm\d*|bn\d*|adn\.N|conv_final\.0)\.(?:weight|bias)$")
"""Names of affine parameters in MONAI's networks; a test compares them with the layers of ours."""


class FedBNAlgorithmSettings(AlgorithmSettings):
    """Local normalization: it has no settings of its own."""

    caution: ClassVar[str] = (
        "Each site that trained has normalization parameters of its own, and its scores are of the model "
        "with them. The model files hold none of them: at any other hospital expect what the sites that only "
        "evaluate report."
    )
    personal_rounds: ClassVar[int] = 10_000

    name: Literal["fedbn"] = "fedbn"

    def stays(self, weight: str) -> bool:
        """Return whether a weight is an affine parameter of a normalization layer."""
        return _AFFINE.search(weight) is not None
