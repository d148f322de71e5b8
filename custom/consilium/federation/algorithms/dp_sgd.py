"""DP-SGD at the server: federated averaging of updates that hide every patient.

The noise is added at the sites; combining what they send spends nothing of a patient's epsilon.
"""

from __future__ import annotations

from consilium.federation.algorithms.fedavg import ServerFedAvg


class ServerDpSgd(ServerFedAvg):
    """Averages the sites' updates, which it sees one by one, each with the noise of its site.

    Updates are screened as in federated averaging. AdamW divides the gradients by their size, so the updates
    of sites with more and with less noise are about as long.
    """
