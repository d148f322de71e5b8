"""What a site advertises at the beginning of an attempt: its public keys, signed by its identity."""

from __future__ import annotations

from consilium.secagg.attempt_keys import AttemptKeys, commit_secret, public_key
from consilium.secagg.identity import SiteIdentity
from consilium.secagg.messages import Advertisement, SumContext
from consilium.secagg.survivor_policy import SurvivorPolicy


def sign_keys(
    context: SumContext, site: str, identity: SiteIdentity, keys: AttemptKeys, policy: SurvivorPolicy
) -> Advertisement:
    """Return a site's signed keys.

    Args:
        context: The attempt.
        site: The site's name.
        identity: Signs them.
        keys: Of this attempt; only the public ones are in the message.
        policy: How many survivors the site demands.
    """
    unsigned = Advertisement(
        context=context,
        site=site,
        identity=identity.public_key,
        channel_key=public_key(keys.channel_key),
        mask_key=public_key(keys.mask_key),
        self_commitment=commit_secret(context, site, keys.self_secret),
        policy=policy,
        signature=bytes(64),
    )
    return unsigned.model_copy(update={"signature": identity.sign(unsigned.statement)})
