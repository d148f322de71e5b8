"""How many sites must be left before a site helps to open a sum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

FEWEST_SURVIVORS: Final = 3
"""Of two, each would learn the other's vector from the sum."""

FEWEST_HONEST: Final = 2
"""Sites of a sum that don't collude, by every policy: of a single one, the others would know the rest."""

MOST_PARTIES: Final = 128
"""Sites of one sum: each exchanges keys and shares with every other."""


class SurvivorPolicy(BaseModel):
    """What a site demands of a sum before it helps to open it.

    Attributes:
        min_survivors: Sites that a sum must be of, at least.
        colluding_sites: How many sites may work together with the server and still learn nothing but the sum
            of the others. More of them need more survivors: fewer sites may drop out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min_survivors: Annotated[int, Field(ge=FEWEST_SURVIVORS, le=MOST_PARTIES)] = FEWEST_SURVIVORS
    colluding_sites: Annotated[int, Field(ge=0, le=MOST_PARTIES - 2)] = 0

    @property
    def fewest(self) -> int:
        """Fewest sites that a sum can be of, also if no more take part: then all of them must be left.

        Example:
            >>> SurvivorPolicy(colluding_sites=3).fewest
            5
        """
        return max(self.min_survivors, self.colluding_sites + FEWEST_HONEST)

    @property
    def fewest_honest(self) -> int:
        """Fewest sites of a sum that don't collude.

        Example:
            >>> SurvivorPolicy().fewest_honest, SurvivorPolicy(colluding_sites=3).fewest_honest
            (3, 2)
        """
        return self.fewest - self.colluding_sites

    @classmethod
    def majority_of(cls, hospitals: int, colluding_sites: int = 0) -> SurvivorPolicy:
        """Return the policy by which a sum is of more than half of all hospitals, also if fewer take part.

        A server that chooses other sites in each attempt then can't open two sums of one round: more than
        `colluding_sites` sites would open both, and an honest one opens one.

        Args:
            hospitals: All that know each other, the site itself included.
            colluding_sites: How many of them may work together with the server.

        Example:
            >>> SurvivorPolicy.majority_of(10).threshold(7), SurvivorPolicy().threshold(7)
            (6, 4)
        """
        return cls(
            min_survivors=max(FEWEST_SURVIVORS, _majority(hospitals, colluding_sites)),
            colluding_sites=colluding_sites,
        )

    def threshold(self, sites: int) -> int:
        """Return how many of some sites must be left, which may be more than there are.

        Two lists of survivors can both be signed only if more than `2 * threshold - sites` sites sign both,
        and an honest site signs one. So the threshold is above `(sites + colluding_sites) / 2` (Bonawitz et
        al. 2017, section 6), and two of the survivors are honest.

        Args:
            sites: How many take part in the sum.

        Example:
            >>> SurvivorPolicy().threshold(10)
            6
            >>> SurvivorPolicy(colluding_sites=3).threshold(10)
            7
        """
        return max(self.fewest, _majority(sites, self.colluding_sites))


def strictest_threshold(policies: Iterable[SurvivorPolicy], sites: int) -> int:
    """Return the largest threshold among the policies of some sites."""
    return max(policy.threshold(sites) for policy in policies)


def _majority(sites: int, colluding: int) -> int:
    """Two sets of so many have more than the colluding sites in common."""
    return (sites + colluding) // 2 + 1
