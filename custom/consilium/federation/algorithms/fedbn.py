"""Local normalization at the server: federated averaging of the other weights; see the site's half."""

from __future__ import annotations

from consilium.errors import ConfigurationError
from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.learning.weights import Weights


class ServerFedBN(ServerFedAvg):
    """Federated averaging of all weights but the affine parameters of normalization layers."""

    def begin(self, weights: Weights) -> None:
        """Check that something stays at the sites.

        Raises:
            ConfigurationError: If the network has no such parameter: nothing would be local.
        """
        if not any(self.settings.stays(name) for name in weights):
            raise ConfigurationError(
                f"network {self.job.learning.network!r} has no affine parameters in its normalization, so "
                "algorithm 'fedbn' would keep nothing at the sites; choose another network, such as "
                "segresnet, or another algorithm"
            )
