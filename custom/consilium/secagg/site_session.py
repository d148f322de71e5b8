"""A site's part in one attempt to sum the sites' vectors."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from consilium.counts import counted
from consilium.secagg.advertising import sign_keys
from consilium.secagg.attempt_keys import (
    AttemptKeys,
    derive_pair_seed,
    derive_self_seed,
)
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.identity import SiteIdentity, is_signed
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import (
    Advertisement,
    Confirmation,
    ConfirmationList,
    Reveal,
    Roster,
    ShareBundle,
    ShareInbox,
    SumContext,
    SurvivorList,
)
from consilium.secagg.roster_check import check_roster
from consilium.secagg.session_steps import SessionSteps
from consilium.secagg.shamir import split_secret
from consilium.secagg.signed_shares import read_shares, sign_shares
from consilium.secagg.statements import digest_statement
from consilium.secagg.survivor_policy import SurvivorPolicy, strictest_threshold

_ADVERTISED: Final = "advertise"
_SHARED: Final = "share"
_MASKED: Final = "mask_seeds"
_CONFIRMED: Final = "confirm"
_REVEALED: Final = "reveal"


class SiteSession:
    """The state of a site from its keys to the shares that it gives.

    Its steps are `advertise`, `share`, `mask_seeds`, `confirm` and `reveal`, in this order. Each is answered
    once: the same message again has the same answer, for answers that were lost, except for `mask_seeds`;
    another message in its place is refused. A refusal changes nothing. The secrets are in memory only: a site
    that restarts has dropped out of the attempt.

    Args:
        context: The sum, as this site knows it: the job that it takes part in, the round and attempt that the
            server named, and the digest of the site's own copy of the parameters.
        site: The site's name.
        identity: Its identity.
        peers: Names of the hospitals that it aggregates with, and the fingerprints of their identities.
        policy: How many survivors it demands.
        memory: Its durable memory.
        subject: Digest of what its vector is made from, beside the job and the round, which always count: a
            sum of the same subject is opened for the same survivors and parameters only. It holds a resumed
            job with another id to what was opened before.
        random: Source of random bytes; another one is for test vectors only.

    Attributes:
        policy: How many survivors it demands.
    """

    def __init__(
        self,
        *,
        context: SumContext,
        site: str,
        identity: SiteIdentity,
        peers: Mapping[str, bytes],
        policy: SurvivorPolicy,
        memory: SecAggMemory,
        subject: bytes | None = None,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._context = context
        self._site = site
        self._identity = identity
        self._fingerprints = {**peers, site: identity.fingerprint}
        self.policy = policy
        self._memory = memory
        self._subjects = [digest_statement("subject", context.job, context.round)]
        if subject is not None:
            self._subjects.append(digest_statement("further subject", subject))
        self._random = random
        self._steps = SessionSteps(
            context, {_MASKED: "one vector is masked in an attempt, and the seeds were given out"}
        )
        self._keys: AttemptKeys
        self._roster: Roster
        self._digest: bytes
        self._threshold: int
        self._received: dict[str, tuple[bytes, bytes] | None]
        self._survivors: SurvivorList

    def advertise(self) -> Advertisement:
        """Draw the keys of this attempt and record that it has begun.

        Raises:
            SecAggRefusal: The site took part in this or a later attempt of the job.
            DataError: Its memory can't be used.
        """
        return self._steps.answer(_ADVERTISED, None, None, self._advertise)

    def share(self, roster: Roster) -> ShareBundle:
        """Check who takes part, and split the two secrets among them.

        Raises:
            UnknownParties: The roster has sites that are not pinned.
            SecAggRefusal: It has a false signature, lacks this site or changes its keys, is smaller than the
                threshold, or is a second one.
        """
        return self._steps.answer(_SHARED, _ADVERTISED, roster, lambda: self._share(roster))

    def mask_seeds(self, inbox: ShareInbox) -> list[MaskSeed]:
        """Return the seeds of the masks to add to the site's vector, with their signs; once.

        Two vectors under the same masks give their difference away, so there is no second answer. To send the
        masked vector again, keep it. Shares that are of no use stop nobody: the masks need none of them.

        Raises:
            SecAggRefusal: Shares are missing, changed or of too few sites, or the seeds were returned before.
        """
        return self._steps.answer(_MASKED, _SHARED, inbox, lambda: self._mask_seeds(inbox))

    def confirm(self, survivors: SurvivorList) -> Confirmation:
        """Check the list of survivors, sign that this site saw it, and name sites whose shares are of no use.

        Raises:
            SecAggRefusal: The list is below the threshold, lacks this site, names others than those whose
                shares it has, or is a second one.
        """
        return self._steps.answer(_CONFIRMED, _MASKED, survivors, lambda: self._confirm(survivors))

    def reveal(self, confirmations: ConfirmationList) -> Reveal:
        """Give what opens the sum once enough sites have confirmed the same list.

        That is the secret of the site's own mask, and of each other site one kind of share only.

        Raises:
            SecAggRefusal: Confirmations are false or too few.
            OpenedOtherwise: The site helped to open a sum of the same subject with other survivors or
                parameters.
            DataError: Its memory can't be used.
        """
        return self._steps.answer(_REVEALED, _CONFIRMED, confirmations, lambda: self._reveal(confirmations))

    def _advertise(self) -> Advertisement:
        self._memory.begin_attempt(self._context.job, self._context.attempt)
        self._keys = AttemptKeys(self._random)
        return sign_keys(self._context, self._site, self._identity, self._keys, self.policy)

    def _share(self, roster: Roster) -> ShareBundle:
        digest = roster.digest
        check_roster(roster, self._fingerprints, own=self._steps.given(_ADVERTISED))
        names = roster.names
        threshold = strictest_threshold((one.policy for one in roster.advertisements), len(names))
        if len(names) < threshold:
            raise SecAggRefusal(
                f"{counted(len(names), 'site')} in all, and {threshold} must be left at the end"
            )
        split = {
            kind: split_secret(secret, threshold=threshold, count=len(names), random=self._random)
            for kind, secret in (("self", self._keys.self_secret), ("key", self._keys.mask_key))
        }
        shares = dict(zip(names, zip(split["self"], split["key"], strict=True), strict=True))
        sealed = {
            peer.site: sign_shares(
                self._context, digest, self._identity, self._keys.channel_key,
                sender=self._site, receiver=peer, shares=shares[peer.site],
            )
            for peer in roster.advertisements
            if peer.site != self._site
        }  # fmt: skip
        self._roster, self._digest, self._threshold = roster, digest, threshold
        return ShareBundle(context=self._context, site=self._site, sealed=sealed)

    def _mask_seeds(self, inbox: ShareInbox) -> list[MaskSeed]:
        peers = {one.site: one for one in self._roster.advertisements if one.site != self._site}
        if unknown := sorted(inbox.sealed.keys() - peers.keys()):
            raise SecAggRefusal(f"shares of sites that are not in this sum: {', '.join(unknown)}")
        self._require_enough(len(inbox.sealed) + 1, "shared their secrets")
        received: dict[str, tuple[bytes, bytes] | None] = {}
        seeds = []
        for name in sorted(inbox.sealed):
            received[name] = read_shares(
                self._digest, self._keys.channel_key,
                sender=peers[name], receiver=self._site, sealed=inbox.sealed[name],
            )  # fmt: skip
            seed = derive_pair_seed(
                self._context, self._digest, self._keys.mask_key, peers[name].mask_key, (self._site, name)
            )
            seeds.append(MaskSeed(seed, 1 if self._site < name else -1))
        self._received = received
        own = derive_self_seed(self._context, self._site, self._keys.self_secret)
        return [*seeds, MaskSeed(own, 1)]

    def _confirm(self, survivors: SurvivorList) -> Confirmation:
        if survivors.sharers != sorted([self._site, *self._received]):
            raise SecAggRefusal("the list has other sharers than those whose shares this site received")
        if not {*survivors.survivors} <= {*survivors.sharers}:
            raise SecAggRefusal("the list has survivors whose shares were not distributed")
        if self._site not in survivors.survivors:
            raise SecAggRefusal("this site is not among the survivors")
        self._require_enough(len(survivors.survivors), "left")
        self._survivors = survivors
        statement = survivors.statement(self._digest, self._site)
        return Confirmation(
            context=self._context,
            site=self._site,
            signature=self._identity.sign(statement),
            lacking=[name for name in sorted(self._received) if self._received[name] is None],
        )

    def _reveal(self, confirmations: ConfirmationList) -> Reveal:
        survivors, digest = self._survivors, self._digest
        identities = {one.site: one.identity for one in self._roster.advertisements}
        for name, signature in confirmations.signatures.items():
            if name not in survivors.survivors or not is_signed(
                identities[name], survivors.statement(digest, name), signature
            ):
                raise SecAggRefusal(f"{name} did not confirm the list of survivors that this site saw")
        self._require_enough(len(confirmations.signatures), "confirmed the list of survivors")
        opened = digest_statement("opened", self._context.parameters, *survivors.survivors)
        self._memory.record_opening(self._subjects, opened)
        left = {*survivors.survivors}
        held = {name: shares for name, shares in self._received.items() if shares is not None}
        return Reveal(
            context=self._context,
            site=self._site,
            self_secret=self._keys.self_secret,
            self_shares={name: shares[0] for name, shares in held.items() if name in left},
            key_shares={name: shares[1] for name, shares in held.items() if name not in left},
        )

    def _require_enough(self, count: int, what: str) -> None:
        if count < self._threshold:
            raise SecAggRefusal(
                f"{what}: {counted(count, 'site')}, and at least {self._threshold} are demanded"
            )
