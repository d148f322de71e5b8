"""How many bytes this process has sent and received, from FLARE's own message statistics."""

from __future__ import annotations

from dataclasses import dataclass

from nvflare.fuel.f3.stats_pool import StatsPoolManager

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Traffic:
    """Payload bytes of all messages since the process started; without headers, TLS and TCP."""

    sent: int
    received: int


def measure_traffic() -> Traffic:
    """Add up FLARE's message size pools of this process, over all of its cells."""
    totals = {"sent_msg_sizes": 0.0, "received_msg_sizes": 0.0}
    for name, entry in StatsPoolManager.to_dict().items():
        kind = name.partition("@")[0]
        if kind in totals:
            bins = (one for category in entry["pool"]["cat_data"].values() for one in category if one)
            totals[kind] += sum(one["total"] for one in bins)
    return Traffic(*(round(value * _MIB) for value in totals.values()))
