"""`consilium identity`: a hospital's identity in secure aggregation, and those that it pinned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import Json, KitFolder
from consilium.cli.terminal import say, say_json, say_result
from consilium.counts import counted
from consilium.errors import ConfigurationError

if TYPE_CHECKING:
    from consilium.provisioning.kit import Kit

app = typer.Typer(
    no_args_is_help=True,
    help="Make a hospital's identity for secure aggregation; pin those of the other hospitals.",
)

_CREATE_EPILOG = """
Once, at the hospital, on the machine of its kit:

  $ consilium identity create /opt/consilium/north
"""

_PIN_EPILOG = """
With the fingerprint that the other hospital read out by telephone, never one that came through the server:

  $ consilium identity pin /opt/consilium/north south "9A:41:..."
"""


@app.command("create", epilog=_CREATE_EPILOG)
def create(kit: KitFolder) -> None:
    """Make the hospital's identity in the kit's local/ and print its fingerprint.

    The key is made on this machine, only the account that makes it can read it, and it is never overwritten.
    Say the fingerprint to the other hospitals yourself, by telephone for example: it protects
    against anybody who runs the server or can issue the federation's certificates.
    """
    from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity, format_fingerprint

    site = _hospital(kit)
    identity = SiteIdentity.create(site.local / IDENTITY_FILE)
    say(f"made: {site.local / IDENTITY_FILE}; keep it on this machine", err=True)
    say(f"the other hospitals pin {site.site_name} with:", err=True)
    say_result(format_fingerprint(identity.fingerprint))


@app.command("show")
def show(kit: KitFolder) -> None:
    """Print the fingerprint of the hospital's identity."""
    from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity, format_fingerprint

    identity = SiteIdentity.read(_hospital(kit).local / IDENTITY_FILE)
    say_result(format_fingerprint(identity.fingerprint))


@app.command("pin", epilog=_PIN_EPILOG)
def pin(
    kit: KitFolder,
    hospital: Annotated[
        str, typer.Argument(metavar="SITE", help="The other hospital's name.", show_default=False)
    ],
    fingerprint: Annotated[
        str,
        typer.Argument(
            metavar="FINGERPRINT",
            help="64 hexadecimal digits, also with colons.",
            show_default=False,
        ),
    ],
) -> None:
    """Pin the identity of another hospital, so that this one aggregates with it.

    A pin is never replaced. A running job has the new one from its next sum on.
    """
    from consilium.secagg.identity import parse_fingerprint
    from consilium.secagg.peers import PEERS_FILE, PinnedPeers

    site = _hospital(kit)
    if hospital == site.site_name:
        raise ConfigurationError(f"{hospital} is this hospital itself; it pins the others")
    try:
        value = parse_fingerprint(fingerprint)
    except ValueError as error:
        raise ConfigurationError(f"{fingerprint!r:.100}: {error}") from None
    peers = PinnedPeers.read(site.local / PEERS_FILE).pin(hospital, value)
    say(f"{site.site_name} aggregates with: {', '.join(sorted(peers.fingerprints))}")


@app.command("peers")
def list_peers(kit: KitFolder, as_json: Json = False) -> None:
    """List the hospitals that this one pinned, and how many must be left at the end of a sum.

    The file is secagg_peers.json in the kit's local/: `min_survivors` is how many hospitals a sum must be of,
    by default more than half of this one and all that it pinned, and `colluding_sites` how many of them may
    work together with the server.
    """
    from consilium.secagg.identity import format_fingerprint
    from consilium.secagg.peers import PEERS_FILE, PinnedPeers
    from consilium.secagg.survivor_policy import FEWEST_SURVIVORS

    site = _hospital(kit)
    peers = PinnedPeers.read(site.local / PEERS_FILE)
    shown = {name: format_fingerprint(one) for name, one in sorted(peers.fingerprints.items())}
    if as_json:
        say_json({"format": 1, "site": site.site_name, "peers": shown, **peers.policy.model_dump()})
        return
    for name, text in shown.items():
        say_result(f"{name}\t{text}")
    everybody = len(shown) + 1
    needed = peers.policy.threshold(everybody)
    if not shown:
        say("none is pinned; next: consilium identity pin", err=True)
    elif needed > everybody:
        missing = counted(needed - everybody, "more hospital")
        say(
            f"too few: a sum must be of {counted(needed, 'hospital')}, this one included; pin {missing} with "
            "`consilium identity pin`",
            err=True,
        )
    else:
        say(f"if all {everybody} take part, {needed} must be left at the end", err=True)
        if peers.follows_pins and needed > FEWEST_SURVIVORS:
            say(
                f"jobs of fewer than {needed} continue without {site.site_name}: a sum is of more than half "
                f"of it and all that it pinned, unless min_survivors in {PEERS_FILE} is a number",
                err=True,
            )
        elif peers.allows_two_sums:
            say(
                f"min_survivors {peers.policy.min_survivors} lets a malicious server open two sums of a "
                f"round (docs/secure-aggregation.md); to prevent it: null in {PEERS_FILE}",
                err=True,
            )


def _hospital(kit: Path) -> Kit:
    """Return the kit of a hospital; the server and users have no identity."""
    from consilium.provisioning.kit import Kit

    site = Kit(kit)
    if site.kind != "client":
        raise ConfigurationError(f"{kit} is the kit of the server, which has no identity; name a hospital's")
    return site
