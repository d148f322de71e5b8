"""Steps of the hospitals' protocols in an algorithm's dialogue: what they refuse declines a task."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from consilium.errors import ConfigurationError, DataError, RefusalCode, SiteRefusal
from consilium.learning.algorithms.dialogue import SitePlace
from consilium.learning.algorithms.pinned_hospitals import read_pinned
from consilium.secagg.errors import OpenedOtherwise, SecAggRefusal, UnknownParties
from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity
from consilium.secagg.memory import MEMORY_FILE, SecAggMemory
from consilium.secagg.messages import SumContext
from consilium.secagg.site_attempt import SiteAttempt
from consilium.secagg.statements import digest_statement

ResultT = TypeVar("ResultT")
AttemptT = TypeVar("AttemptT", bound=SiteAttempt)


def declined(reason: str, *details: str) -> SiteRefusal:
    """Return the refusal of a task.

    Args:
        reason: That leaves the site: it holds names of sites and counts only.
        details: That stay.
    """
    return SiteRefusal(reason, code=RefusalCode.SECURE_AGGREGATION, details=details)


def guarded(step: Callable[[], ResultT]) -> ResultT:
    """Carry out a step of a protocol; what it rejects declines the task.

    Raises:
        SiteRefusal: If it is rejected. The protocol's reasons hold names of sites and counts only.
        UnknownParties: If it has sites that this one does not know.
    """
    try:
        return step()
    except OpenedOtherwise as error:
        raise SiteRefusal(str(error), code=RefusalCode.ROUND_OPENED) from None
    except UnknownParties:
        raise
    except SecAggRefusal as error:
        raise declined(str(error)) from None
    except ValidationError:
        raise declined("the job's id or a number is not one that the protocol knows") from None
    except DataError as error:
        raise declined("its memory of rounds with other hospitals can't be used", str(error)) from None


def read_identity(local: Path) -> SiteIdentity:
    """Read the hospital's identity.

    Args:
        local: Folder of the hospital's own files.

    Raises:
        SiteRefusal: If there is none, or it can't be used.
    """
    try:
        return SiteIdentity.read(local / IDENTITY_FILE)
    except ConfigurationError as error:
        raise declined("this site has no identity for rounds with other hospitals", str(error)) from None


def open_attempt(
    kind: type[AttemptT], place: SitePlace, *, round_number: int, attempt: int, parameters: bytes
) -> AttemptT:
    """Return a site's part in an attempt, with the identity, the pins and the memory that the site has.

    Args:
        kind: The protocol.
        place: Where the site's files are, and for which job.
        round_number: The round.
        attempt: Number of the attempt.
        parameters: Digest of what the sites must agree on.

    Raises:
        SiteRefusal: If the site has no identity, a file can't be read, or the protocol does not know the
            job's id or a number.
    """
    identity, pinned = read_identity(place.local), read_pinned(place.local)
    values = {"job": place.job, "round": round_number, "attempt": attempt, "parameters": parameters}
    return kind(
        context=guarded(lambda: SumContext.model_validate(values)),
        site=place.site,
        identity=identity,
        peers=pinned.fingerprints,
        policy=pinned.policy,
        memory=SecAggMemory(place.state / MEMORY_FILE),
        # A round that is trained again after a resumption is held to what was opened of it before.
        subject=digest_statement("subject", place.run, round_number),
    )
