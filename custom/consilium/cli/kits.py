"""`consilium kits`: pack, unpack and prepare startup kits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.terminal import say, say_result
from consilium.errors import ConfigurationError

app = typer.Typer(
    no_args_is_help=True, help="Pack startup kits to hand them over; unpack one; prepare one for a cluster."
)

_PACK_EPILOG = """
The project admin, after `nvflare provision -p provision/project.yml -w provisioned`:

  $ consilium kits pack provisioned/brain_tumor_consortium/prod_00 --to handover

Only those that are new:

  $ consilium kits pack provisioned/brain_tumor_consortium/prod_01 --to handover-2 --only west
"""

_UNPACK_EPILOG = """
It shows the archive's hash and asks whether the project admin has the same one:

  $ consilium kits unpack north.zip

Or with the numbers that the project admin said, spaces and colons allowed:

  $ consilium kits unpack north.zip --sha256 "3f5a ..." --fingerprint 9A:41:...
"""

_PREPARE_EPILOG = """
For a hospital whose jobs Slurm runs; the result can be sent to it:

  $ cp provision/runtime/slurm.yaml north.yaml    # edit it

  $ consilium kits prepare kits/north --config north.yaml --output prepared/north

Exit code: 0 prepared, 2 the kit or the configuration can't be used.
"""

_NEXT = {
    "docker": "next, on the machine that runs it: startup/start_docker.sh; docs/server.md",
    "k8s": "next, with kubectl of the cluster: the steps of docs/kubernetes.md",
    "slurm": "next, at the hospital: startup/start_slurm.sh; docs/slurm.md",
}


@app.command("prepare", epilog=_PREPARE_EPILOG)
def prepare(
    kit: Annotated[
        Path, typer.Argument(metavar="KIT", help="The kit's folder, as provisioned.", show_default=False)
    ],
    config: Annotated[
        Path,
        typer.Option(help="An edited copy of a file of provision/runtime/: docker, k8s or slurm.yaml."),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; it must not exist.")],
) -> None:
    """Prepare a startup kit for Docker, Kubernetes or Slurm.

    Writes a copy of the kit and leaves the kit itself as it is. The copy holds the same private key, and no
    path of this machine, so it can be prepared anywhere.
    """
    from consilium.provisioning.runtimes.prepare import prepare_kit

    runtime = prepare_kit(kit, config, output)
    say_result(output)
    say(_NEXT[runtime], err=True)


@app.command("pack", epilog=_PACK_EPILOG)
def pack(
    kits: Annotated[
        Path,
        typer.Argument(metavar="PROD", help="Folder prod_NN of `nvflare provision`.", show_default=False),
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the archives.", show_default=False)],
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A participant; give it again for more.", show_default=False),
    ] = None,
) -> None:
    """Write one archive for each participant's kit, such as north.zip, with their SHA-256 hashes.

    Each holds a private key: send it over a channel that only its receiver can read, and say its hash and the
    fingerprint of the federation's CA, which are in NUMBERS.txt, over another one, by telephone for example.
    """
    from consilium.provisioning.kit_packing import NUMBERS, SUMS, pack_kits

    packed = pack_kits(kits, to, names=only or ())
    for one in packed:
        say_result(one.archive)
    say(f"hashes: {to / SUMS}; what to say by telephone: {to / NUMBERS}", err=True)
    say("each receiver runs: consilium kits unpack NAME.zip", err=True)


@app.command("unpack", epilog=_UNPACK_EPILOG)
def unpack(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="What was received: NAME.zip.", show_default=False)
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where the kit's folder is made.")] = Path(),
    sha256: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="The archive's, as the project admin says.", show_default=False),
    ] = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(
            metavar="SHA256",
            help="The federation's CA's, as the project admin says. It shows whose kit it is; only the hash "
            "shows that every file is as it was sent.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Verify the archive of a startup kit, and unpack it with private modes.

    Nothing is unpacked unless the hash is that of the project admin and every entry is a plain file of one
    kit. Nothing that exists is replaced.
    """
    from consilium.provisioning.kit_packing import CA, ca_fingerprint
    from consilium.provisioning.kit_unpacking import unpack_kit

    kit = unpack_kit(archive, to, sha256=sha256 or _confirmed(archive), fingerprint=fingerprint)
    say_result(kit)
    say(f"SHA-256 fingerprint of the federation's CA: {ca_fingerprint(kit / CA)}", err=True)
    if fingerprint is None:
        say("compare it with the project admin's as well", err=True)
    if (kit / "startup/fed_admin.json").is_file():
        say(f"next: {kit}/startup/fl_admin.sh, or nvflare job list --startup-kit {kit}", err=True)
    else:
        say(f"next: consilium check-site {kit}", err=True)


def _confirmed(archive: Path) -> str:
    """Return an archive's hash once the person at the terminal has compared it."""
    from consilium.provisioning.kit_packing import file_sha256, grouped

    found = file_sha256(archive)
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"nobody has compared the hash of {archive.name} with the project admin's: {grouped(found)}; run "
            "this in a terminal, or with --sha256 HASH"
        )
    say(f"SHA-256 of {archive.name}: {grouped(found)}", err=True)
    if not typer.confirm("Does the project admin say the same?", err=True):
        raise ConfigurationError(f"{archive.name} was not unpacked; ask the project admin for it again")
    return found
