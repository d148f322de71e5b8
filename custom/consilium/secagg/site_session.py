"""A site's part in one attempt to sum the sites' vectors."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from consilium.secagg.attempt_keys import derive_pair_seed, derive_self_seed
from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.messages import (
    Confirmation,
    ConfirmationList,
    Reveal,
    Roster,
    ShareBundle,
    ShareInbox,
    SurvivorList,
)
from consilium.secagg.shamir import split_secret
from consilium.secagg.signed_shares import read_shares, sign_shares
from consilium.secagg.site_attempt import ADVERTISED, SiteAttempt
from consilium.secagg.statements import digest_statement

_SHARED: Final = "share"
_MASKED: Final = "mask_seeds"
_CONFIRMED: Final = "confirm"
_REVEALED: Final = "reveal"


class SiteSession(SiteAttempt):
    """The state of a site from its keys to the shares that it gives.

    Its steps are `advertise`, `share`, `mask_seeds`, `confirm` and `reveal`, in this order. A sum of the same
    subject is opened for the same survivors and parameters only.
    """

    once = MappingProxyType({_MASKED: "one vector is masked in an attempt, and the seeds were given out"})
    _received: dict[str, tuple[bytes, bytes] | None]

    def share(self, roster: Roster) -> ShareBundle:
        """Check who takes part, and split the two secrets among them.

        Raises:
            UnknownParties: The roster has sites that are not pinned.
            SecAggRefusal: It has a false signature, lacks this site or changes its keys, is smaller than the
                threshold, or is a second one.
        """
        return self._steps.answer(_SHARED, ADVERTISED, roster, lambda: self._share(roster))

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

    def _share(self, roster: Roster) -> ShareBundle:
        threshold, names, digest = self._check_roster(roster), roster.names, roster.digest
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
        self._keep_roster(roster, threshold)
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
        self._check_survivors(survivors, sharers=sorted([self._site, *self._received]))
        lacking = [name for name in sorted(self._received) if self._received[name] is None]
        return self._sign_survivors(survivors, lacking=lacking)

    def _reveal(self, confirmations: ConfirmationList) -> Reveal:
        self._check_confirmations(confirmations)
        survivors = self._survivors
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
