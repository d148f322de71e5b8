"""FedNova at the server: updates are averaged per unit of local training; Wang et al. 2020, arXiv:2007.07481.

With `local_epochs`, a site with more patients also takes more steps. Federated averaging then counts its
patients twice: its update is longer, and its share is larger. With the rates r of a site's steps, their sum
a_k, and the sites' shares p, FedNova instead takes `w <- w + A sum_k p_k (w_k - w) / a_k` with
`A = sum_k p_k a_k` (the paper's equation 3, its accumulation vector being the rates), so that a step of a
site weighs its share, however many there are. Where all sites take the same steps, it is federated averaging,
bit for bit.

What holds under AdamW, which our sites use: each site's weight no longer depends on its number of steps, as
rate and weight decay enter a step linearly. What doesn't: the paper's proof that the objective is
`sum_k p_k F_k`. It is for steps that are linear in the gradients, and AdamW divides these by the root of
their own second moment, so a site with small gradients counts as much as one with large ones, as it does with
federated averaging. A random walk of n steps is also only as long as sqrt(n), not n, so late in training,
sites of few steps have longer normalized updates.

Costs nothing: neither bytes, nor state, nor seconds. Excludes secure aggregation unless sites scale their
updates before they are masked, because the factors are applied to single updates. Differential privacy that
limits an update's norm at the site is not kept as it is: the factors of sites with few steps are above 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from consilium.federation.algorithms.fedavg import ServerFedAvg
from consilium.federation.updates.intake import StepScaling


class ServerFedNova(ServerFedAvg):
    """Federated averaging of updates that are normalized by the sum of their learning rates."""

    def scaling(self, round_index: int) -> StepScaling:
        """Return the factors `A / a_k` of a round."""
        return partial(self._factors, round_index)

    def _factors(
        self, round_index: int, steps: Mapping[str, int], shares: Mapping[str, float]
    ) -> dict[str, float]:
        if len(set(steps.values())) == 1:
            return dict.fromkeys(steps, 1.0)
        sums = {site: math.fsum(self.job.screening.rates(made, round_index)) for site, made in steps.items()}
        mean = math.fsum(shares[site] * sums[site] for site in sums)
        return {site: mean / one for site, one in sums.items()}
