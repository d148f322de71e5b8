"""The site's half of cyclic weight transfer, Chang et al. 2018, 10.1093/jamia/ocy017.

The server's half has the order of the turns and the mathematics. A site trains as with federated averaging,
but in its turn only; in other rounds it evaluates the model. Its optimizer's moments are those after its own
last turn.

Anybody who has the model before and after a turn has that hospital's update, by subtraction: in a cyclic job
that is every other hospital. So a hospital takes part only if its own settings allow it, and declines before
a file of a patient is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

from consilium.errors import RefusalCode, SiteRefusal
from consilium.learning.algorithms.base import AlgorithmSettings
from consilium.learning.algorithms.dialogue import SiteDialogue, SitePlace
from consilium.privacy.promise import PrivacyPromise

TURN: Final = "turn"
"""Name of the value by which a training task says which site trains."""


class CyclicAlgorithmSettings(AlgorithmSettings):
    """Cyclic weight transfer: it has no settings of its own."""

    caution: ClassVar[str] = (
        "The hospitals trained this model one after the other, and those that came last shaped it most. Each "
        "of them received the update of the one before, by itself."
    )

    name: Literal["cyclic"] = "cyclic"

    def promise(self) -> PrivacyPromise:
        """Return that a round is one hospital's update, and that the others see it."""
        return PrivacyPromise(hospitals_see_updates=True, single_update=True)


class CyclicDialogue(SiteDialogue):
    """Trains only where the server names this very site; declines what names no site."""

    def trains_now(self, content: Mapping[str, Any], place: SitePlace) -> bool:
        """Return whether it is this site's turn.

        Raises:
            SiteRefusal: If the task has anything else than the name of one site.
        """
        turn = content.get(TURN)
        if content.keys() != {TURN} or type(turn) is not str or not turn:
            raise SiteRefusal(
                "the training task does not say whose turn it is by the name of one site",
                code=RefusalCode.DECLINED,
            )
        return turn == place.site
