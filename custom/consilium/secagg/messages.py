"""Messages of the protocol: bounded models that travel as JSON, bytes in it as base64.

A message from another party is data of an attacker until its receiver has checked it: `from_json` checks its
form here, `SiteSession` and `ServerSession` check what it says.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from consilium.secagg.errors import SecAggRefusal
from consilium.secagg.shamir import SHARE_BYTES
from consilium.secagg.statements import digest_statement, encode_statement
from consilium.secagg.survivor_policy import MOST_PARTIES, SurvivorPolicy

LONGEST_MESSAGE: Final = 256 * 1024
"""Characters of JSON; the longest, the roster of 128 sites, has about 100,000."""

_TAG_BYTES: Final = 16

PartyName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Bytes32: TypeAlias = Annotated[bytes, Field(min_length=32, max_length=32)]
Signature: TypeAlias = Annotated[bytes, Field(min_length=64, max_length=64)]
SecretShare: TypeAlias = Annotated[bytes, Field(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]
Ciphertext: TypeAlias = Annotated[
    bytes, Field(min_length=2 * SHARE_BYTES + _TAG_BYTES, max_length=2 * SHARE_BYTES + _TAG_BYTES)
]
AnyNames: TypeAlias = Annotated[list[PartyName], Field(max_length=MOST_PARTIES)]
Names: TypeAlias = Annotated[AnyNames, Field(min_length=1)]

MessageT = TypeVar("MessageT", bound="SecAggMessage")


class SecAggMessage(BaseModel):
    """Base of the messages: frozen, of exact types, and unknown fields are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, ser_json_bytes="base64", val_json_bytes="base64"
    )

    def to_json(self) -> str:
        """Return the message as JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls: type[MessageT], text: str) -> MessageT:
        """Read a message from another party.

        Raises:
            SecAggRefusal: It is too long, or not such a message; nothing of it is quoted.
        """
        if not isinstance(text, str) or len(text) > LONGEST_MESSAGE:
            raise SecAggRefusal(f"{cls.__name__}: no text of at most {LONGEST_MESSAGE} characters")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise SecAggRefusal(f"{cls.__name__}: its form is wrong ({first['type']})") from None


class SumContext(SecAggMessage):
    """Which sum a message belongs to.

    Attributes:
        job: The job's id.
        round: The job's round, or another number of what is summed once.
        attempt: Number of the attempt, larger than that of every earlier one of the job, in whatever round.
        parameters: SHA-256 of all that the sites must agree on, `digest_parameters`; each side computes it
            from its own copy of the job.
    """

    job: PartyName
    round: Annotated[int, Field(ge=0, le=2_000_000)]
    attempt: Annotated[int, Field(ge=1, le=1_000_000_000)]
    parameters: Bytes32

    @property
    def parts(self) -> tuple[str, int, int, bytes]:
        """The fields, for a statement."""
        return self.job, self.round, self.attempt, self.parameters


class ContextMessage(SecAggMessage):
    """A message that belongs to one sum."""

    context: SumContext


class Advertisement(ContextMessage):
    """What a site takes part with: its public keys and its demands, signed by its identity.

    Attributes:
        site: The site's name.
        identity: Public key of its identity.
        channel_key: Public key for encryption between sites, of this attempt.
        mask_key: Public key for the seeds of pairwise masks, of this attempt.
        self_commitment: Hash of the secret of its own mask.
        policy: How many survivors it demands.
        signature: By its identity, over all of the above.
    """

    site: PartyName
    identity: Bytes32
    channel_key: Bytes32
    mask_key: Bytes32
    self_commitment: Bytes32
    policy: SurvivorPolicy
    signature: Signature

    @property
    def statement(self) -> bytes:
        """What is signed."""
        return encode_statement(
            "advertisement", *self.context.parts, self.site, self.identity, self.channel_key, self.mask_key,
            self.self_commitment, self.policy.min_survivors, self.policy.colluding_sites,
        )  # fmt: skip


class Roster(ContextMessage):
    """The sites of a sum, in the order of their names; a site's place, from 1, is that of its shares."""

    advertisements: Annotated[list[Advertisement], Field(min_length=1, max_length=MOST_PARTIES)]

    @field_validator("advertisements")
    @classmethod
    def _in_order(cls, value: list[Advertisement]) -> list[Advertisement]:
        _require_order([one.site for one in value])
        return value

    @property
    def names(self) -> list[str]:
        """The sites' names in order."""
        return [one.site for one in self.advertisements]

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that the sites advertised; every key of the attempt is derived from it."""
        signed = [part for one in self.advertisements for part in (one.statement, one.signature)]
        return digest_statement("roster", *self.context.parts, *signed)


class SealedShares(SecAggMessage):
    """A site's two shares for one other site, which only that one can read, and which the sender can't deny.

    Attributes:
        ciphertext: Both shares, encrypted for the receiver.
        self_hash: Hash of the share of the self-mask secret, `hash_share`.
        key_hash: Hash of the share of the mask key.
        signature: By the sender's identity, over all of the above.
    """

    ciphertext: Ciphertext
    self_hash: Bytes32
    key_hash: Bytes32
    signature: Signature

    def statement(self, context: SumContext, roster: bytes, sender: str, receiver: str) -> bytes:
        """Return what the sender signs.

        Args:
            context: Of the sum.
            roster: Digest of the roster.
            sender: Whose secrets the shares are of.
            receiver: Whom they are for.
        """
        return encode_statement(
            "shares", *context.parts, roster, sender, receiver, self.ciphertext, self.self_hash, self.key_hash
        )


class ShareBundle(ContextMessage):
    """A site's shares for the others, by receiver."""

    site: PartyName
    sealed: Annotated[dict[PartyName, SealedShares], Field(min_length=1, max_length=MOST_PARTIES)]


class ShareInbox(ContextMessage):
    """The shares that the others sent to one site, by sender."""

    sealed: Annotated[dict[PartyName, SealedShares], Field(min_length=1, max_length=MOST_PARTIES)]


class SurvivorList(ContextMessage):
    """Which sites' vectors are in the sum.

    Attributes:
        sharers: The sites whose shares were distributed, in order.
        survivors: Those of them whose vectors arrived, in order.
    """

    sharers: Names
    survivors: Names

    @field_validator("sharers", "survivors")
    @classmethod
    def _in_order(cls, value: list[str]) -> list[str]:
        _require_order(value)
        return value

    def statement(self, roster: bytes, site: str) -> bytes:
        """Return what a site signs that saw this list.

        Args:
            roster: Digest of the roster.
            site: The signer.
        """
        return encode_statement(
            "survivors", *self.context.parts, roster, site,
            len(self.sharers), *self.sharers, len(self.survivors), *self.survivors,
        )  # fmt: skip


class Confirmation(ContextMessage):
    """A site's signature of the list of survivors that it saw.

    Attributes:
        site: The site.
        signature: By its identity.
        lacking: Sites whose shares for it can't be read or are not those that they signed, in order.
    """

    site: PartyName
    signature: Signature
    lacking: AnyNames

    @field_validator("lacking")
    @classmethod
    def _in_order(cls, value: list[str]) -> list[str]:
        _require_order(value)
        return value


class ConfirmationList(ContextMessage):
    """The signatures of the sites that confirmed the list, by site."""

    signatures: Annotated[dict[PartyName, Signature], Field(min_length=1, max_length=MOST_PARTIES)]


class Reveal(ContextMessage):
    """What a site gives to open the sum: its own secret, and its shares by the site that they are of.

    Attributes:
        site: Who gives them.
        self_secret: The secret of its own mask. The others' shares replace it if the site is lost.
        self_shares: Shares of the self-mask secrets of the other survivors.
        key_shares: Shares of the mask keys of sites that dropped out.
    """

    site: PartyName
    self_secret: Bytes32
    self_shares: Annotated[dict[PartyName, SecretShare], Field(max_length=MOST_PARTIES)]
    key_shares: Annotated[dict[PartyName, SecretShare], Field(max_length=MOST_PARTIES)]


def digest_parameters(parameters: dict[str, Any]) -> bytes:
    """Return the digest of what the sites of a sum must agree on, such as the ring and the tensors' shapes.

    Args:
        parameters: Texts, numbers, lists and mappings of these, as JSON has them.

    Example:
        >>> digest_parameters({"ring": 32, "clip": 1.0}) == digest_parameters({"clip": 1.0, "ring": 32})
        True
    """
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return digest_statement("parameters", text)


def _require_order(names: list[str]) -> None:
    if any(first >= second for first, second in pairwise(names)):
        raise ValueError("names are in order, each once")
