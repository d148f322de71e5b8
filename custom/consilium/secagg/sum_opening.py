"""The last step of an attempt at the server: from what sites give to the seeds of the masks in the sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from consilium.secagg.attempt_keys import ShareKind, derive_pair_seed, derive_self_seed
from consilium.secagg.blame import Blame
from consilium.secagg.errors import SecAggFailure, SecAggRefusal
from consilium.secagg.mask_seed import MaskSeed
from consilium.secagg.messages import Confirmation, Reveal, Roster, ShareBundle, SurvivorList
from consilium.secagg.secret_recovery import find_falsehood, recover_secret


class SumOpening:
    """What sites gave to open a sum.

    A survivor gives the secret of its own mask itself. Of one that is lost, and of the mask key of a site
    that sent no vector, the others' shares are combined.

    Args:
        roster: The sites.
        bundles: The shares that the sites signed, by the site that they are of.
        survivors: Whose vectors are in the sum.
        confirmations: Of the survivors that confirmed this list.
        threshold: How many shares a secret needs.
        blame: Receives who gave something false, and whose secrets can't be recovered.

    Attributes:
        reveals: What was accepted, by site.
    """

    def __init__(
        self,
        roster: Roster,
        bundles: Mapping[str, ShareBundle],
        survivors: SurvivorList,
        confirmations: Mapping[str, Confirmation],
        threshold: int,
        blame: Blame,
    ) -> None:
        self._context, self._digest = roster.context, roster.digest
        self._advertisements = {one.site: one for one in roster.advertisements}
        self._places = {name: place for place, name in enumerate(roster.names, start=1)}
        self._bundles = bundles
        self._survivors = {*survivors.survivors}
        self._dropped = {*survivors.sharers} - self._survivors
        self._lacking = {name: {*one.lacking} for name, one in confirmations.items()}
        self._threshold = threshold
        self._blame = blame
        self.reveals: dict[str, Reveal] = {}

    def add(self, message: Reveal) -> None:
        """Add what a site gives.

        Raises:
            SecAggRefusal: It is not what was asked for, or is false.
        """
        unusable = {message.site, *self._lacking[message.site]}
        if (
            message.self_shares.keys() != self._survivors - unusable
            or message.key_shares.keys() != self._dropped - unusable
        ):
            raise SecAggRefusal(f"{message.site}: its shares are not those of this list of survivors")
        falsehood = find_falsehood(message, self._advertisements[message.site], self._digest, self._bundles)
        if falsehood is not None:
            self._blame.culprits[message.site] = falsehood
            raise SecAggRefusal(f"{message.site}: {falsehood}")
        self.reveals[message.site] = message

    def seeds(self) -> list[MaskSeed]:
        """Return the seeds of the masks to add to the sum of the survivors' vectors, with their signs.

        Raises:
            SecAggFailure: A secret can't be recovered.
        """
        secrets = {name: one.self_secret for name, one in self.reveals.items()}
        secrets |= self._recover(sorted(self._survivors - self.reveals.keys()), "self")
        keys = self._recover(sorted(self._dropped), "key")
        lost = sorted((self._survivors - secrets.keys()) | (self._dropped - keys.keys()))
        if lost:
            raise SecAggFailure(
                f"secrets of {', '.join(lost)} can't be recovered from the shares that the others have, so "
                "the sum stays hidden: begin another attempt"
            )
        seeds = [
            MaskSeed(derive_self_seed(self._context, name, secrets[name]), -1)
            for name in sorted(self._survivors)
        ]
        for name, private_key in keys.items():
            for survivor in sorted(self._survivors):
                peer_key = self._advertisements[survivor].mask_key
                pair = (name, survivor)
                seed = derive_pair_seed(self._context, self._digest, private_key, peer_key, pair)
                seeds.append(MaskSeed(seed, -1 if survivor < name else 1))
        return seeds

    def _recover(self, owners: Iterable[str], kind: ShareKind) -> dict[str, bytes]:
        """Return the secrets of sites that did not give them; one that can't be recovered is missing."""
        secrets = {}
        for owner in owners:
            given = {}
            for holder, reveal in self.reveals.items():
                shares = reveal.self_shares if kind == "self" else reveal.key_shares
                if owner in shares:
                    given[self._places[holder]] = shares[owner]
            secret, consistent = recover_secret(self._advertisements[owner], kind, given, self._threshold)
            if not consistent:
                self._blame.culprits[owner] = "it gave the other sites shares that are not of one secret"
            if secret is not None:
                secrets[owner] = secret
            elif consistent:
                self._blame.spare_lost(owner, holders=len(given), threshold=self._threshold)
        return secrets
