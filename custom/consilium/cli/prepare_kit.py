"""`consilium kits prepare`: prepare a kit for Docker, Kubernetes or Slurm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.terminal import say, say_result

EPILOG = """
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
