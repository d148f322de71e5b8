"""Sites without which the others continue: those at fault, and those for whom a sum could not be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from consilium.counts import counted
from consilium.secagg.survivor_policy import FEWEST_SURVIVORS, SurvivorPolicy


class Blame:
    """What an attempt showed of single sites.

    Attributes:
        culprits: Sites that gave something false, by what they signed themselves, each with what it was. No
            other site can bring an honest one in here.
        unmet: Sites that this attempt does without, as their demands can't be met, each with the reason.
        spared: Sites that the next attempt should do without, each with the reason. So few sites were left
            that only they were not content, or most of the others don't know them, or they dropped out and
            their secrets can't be recovered. Who is at fault is not known, so none of them is excluded for
            good.
    """

    def __init__(self) -> None:
        self.culprits: dict[str, str] = {}
        self.unmet: dict[str, str] = {}
        self.spared: dict[str, str] = {}

    def spare_lost(self, site: str, *, holders: int, threshold: int) -> None:
        """Spare a site that dropped out with secrets that can't be recovered.

        Args:
            site: The site.
            holders: How many sites have shares of it that they can use.
            threshold: How many must.
        """
        self.spared[site] = (
            f"it dropped out, and its secrets can't be recovered: {counted(holders, 'site')} could use the "
            f"shares that it had sent, and {threshold} must"
        )

    def leave_out_unmet(self, policies: Mapping[str, SurvivorPolicy]) -> list[str]:
        """Leave the sites out whose demands can't be met by the sites of a sum; returns their names."""
        names = unmet_demands(policies)
        seen = f"{counted(len(policies) - len(names), 'site')} beside it"
        self.unmet |= {name: _describe(policies[name], seen) for name in names}
        return names

    def spare_unmet(self, policies: Mapping[str, SurvivorPolicy], left: int) -> None:
        """Spare the sites who alone demand more than the sites that were left."""
        seen = f"{counted(left, 'site')} left"
        self.spared |= {name: _describe(policies[name], seen) for name in unmet_demands(policies, left)}

    def spare_strangers(self, unknown: Mapping[str, Collection[str]], sites: int) -> None:
        """Spare the sites that most of the others refuse to have in a sum.

        Args:
            unknown: Site to the sites that it does not know, or knows by other identities.
            sites: How many were in the roster.
        """
        counts = Counter(name for site, names in unknown.items() for name in {*names} if name != site)
        for name, count in sorted(counts.items()):
            if 2 * count > sites - 1:
                self.spared[name] = (
                    f"{counted(count, 'other site')} of {sites - 1} did not pin the identity that it has"
                )


def unmet_demands(policies: Mapping[str, SurvivorPolicy], left: int | None = None) -> list[str]:
    """Return the sites that demand more survivors than there are, if enough others are content.

    A demand that can't be met is thus the loss of the site that makes it, and not of all.

    Args:
        policies: What each site of a sum demands.
        left: How many sites are left of them; None: all, and those that are returned are not among them.

    Returns:
        Names in order; none if fewer than `FEWEST_SURVIVORS` sites would remain.

    Example:
        >>> calm, strict = SurvivorPolicy(), SurvivorPolicy(min_survivors=9)
        >>> unmet_demands({"east": calm, "north": calm, "south": calm, "west": strict})
        ['west']
    """
    content = dict(policies)
    while True:
        count = len(content)
        strict = {
            name
            for name, policy in content.items()
            if policy.threshold(count) > (count if left is None else left)
        }
        if not strict:
            break
        worst = max(content[name].threshold(count) for name in strict)
        content = {
            name: policy
            for name, policy in content.items()
            if name not in strict or policy.threshold(count) < worst
        }
    return sorted(policies.keys() - content.keys()) if len(content) >= FEWEST_SURVIVORS else []


def _describe(policy: SurvivorPolicy, seen: str) -> str:
    return (
        f"it demands min_survivors {policy.min_survivors} (by default from the number that it pinned) "
        f"and colluding_sites {policy.colluding_sites}, and seen: {seen}"
    )
