"""Costs of a round of averaging: in the clear, by secure aggregation, and by homomorphic encryption.

Bytes follow from the formats. Processor seconds are rates that `benchmarks/secagg.py` and
`benchmarks/homomorphic.py` measured once, times the numbers of parameters and sites: on other machines they
differ, and their proportions hardly. Training, and the network's time, are not in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consilium.recipes.base import JobRecipe
from consilium.recipes.secagg_fedavg import SecAggSettings

MEASURED_ON: Final = "two shared CPU cores, one thread"
"""Machine of the rates."""


@dataclass(frozen=True)
class Rates:
    """Measured rates of one way of averaging, for a million parameters.

    Attributes:
        sent: Bytes a parameter that a site sends.
        site: Seconds of a site.
        site_peer: More of them for each site that takes part.
        server_site: Seconds of the server for each site.
        held: Bytes a parameter of updates and sums in the server's memory.
        stored: Bytes a parameter and site on the server's disk.
    """

    sent: float
    site: float
    site_peer: float
    server_site: float
    held: float
    stored: float


_CLEAR: Final = Rates(sent=4.0, site=0.001, site_peer=0.0, server_site=0.025, held=4.0, stored=4.0)
_MASKED: Final = {
    32: Rates(sent=4.0, site=0.018, site_peer=0.0013, server_site=0.0025, held=4.0, stored=0.0),
    16: Rates(sent=2.0, site=0.015, site_peer=0.001, server_site=0.0017, held=2.0, stored=0.0),
}
_ENCRYPTED: Final = Rates(sent=57.4, site=3.4, site_peer=0.0, server_site=0.32, held=57.4, stored=57.4)

_MESSAGES, _MESSAGES_OF_PEER = 701, 425
"""Bytes of the protocol's messages that a site sends, and for each site that takes part."""

_MESSAGE_SECONDS, _MESSAGE_SECONDS_OF_PEER = 0.008, 0.0009
"""Processor seconds of these messages at a site."""

_MESSAGE_SECONDS_OF_PAIR = 0.0003
"""Processor seconds at the server for each two sites, whose shares for each other it checks."""


@dataclass(frozen=True)
class RoundCost:
    """Costs of one round by one way of averaging.

    Attributes:
        way: What it is.
        sent: Bytes that a site sends.
        site_seconds: Processor time of a site.
        server_seconds: Processor time of the server.
        server_memory: Bytes of updates or of their sum in the server's memory.
        server_disk: Bytes of updates on the server's disk.
    """

    way: str
    sent: int
    site_seconds: float
    server_seconds: float
    server_memory: int
    server_disk: int

    def __str__(self) -> str:
        """Return a line for a person."""
        return (
            f"{self.way}: {_amount(self.sent)} from a site, {self.site_seconds:.2g} s of a site and "
            f"{self.server_seconds:.2g} s of the server; the server holds {_amount(self.server_memory)} in "
            f"memory and {_amount(self.server_disk)} on disk"
        )


def masked_settings(recipe: JobRecipe) -> SecAggSettings | None:
    """Return the settings of a job by secure aggregation; None for another job."""
    settings = recipe.settings
    return settings if isinstance(settings, SecAggSettings) else None


def round_costs(parameters: int, sites: int, ring_bits: int) -> list[RoundCost]:
    """Return the costs in the clear, masked, and encrypted, in this order.

    Example:
        >>> clear, masked, encrypted = round_costs(4_700_000, sites=10, ring_bits=32)
        >>> round(masked.sent / clear.sent, 3), round(encrypted.sent / clear.sent)
        (1.0, 14)

    Args:
        parameters: Of what is averaged.
        sites: That take part.
        ring_bits: Of secure aggregation: 16 or 32.
    """
    masked = _cost(f"secure aggregation, {ring_bits} bits", _MASKED[ring_bits], parameters, sites)
    keys = RoundCost(
        masked.way,
        masked.sent + _MESSAGES + _MESSAGES_OF_PEER * sites,
        masked.site_seconds + _MESSAGE_SECONDS + _MESSAGE_SECONDS_OF_PEER * sites,
        masked.server_seconds + _MESSAGE_SECONDS_OF_PAIR * sites**2,
        masked.server_memory,
        masked.server_disk,
    )
    return [
        _cost("in the clear", _CLEAR, parameters, sites),
        keys,
        _cost("homomorphic encryption (not offered)", _ENCRYPTED, parameters, sites),
    ]


def _cost(way: str, rates: Rates, parameters: int, sites: int) -> RoundCost:
    millions = parameters / 1e6
    return RoundCost(
        way,
        round(rates.sent * parameters),
        millions * (rates.site + rates.site_peer * sites),
        millions * rates.server_site * sites,
        round(rates.held * parameters),
        round(rates.stored * parameters * sites),
    )


def _amount(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size else "nothing"
