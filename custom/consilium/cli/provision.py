"""`consilium provision`: FLARE's provisioning, after a look at the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.terminal import say

EPILOG = """
The kits of a federation, once the names in the file are yours:

  $ consilium provision --project provision/project.yml --to provisioned

Only a look at a file, before `nvflare cert request` as well:

  $ consilium provision --project provision/hospital.yml

Again, after a hospital was added: the others' kits stay as they are

  $ consilium provision --project provision/project.yml --to provisioned --force
"""


def provision(
    project: Annotated[Path, typer.Option(metavar="FILE", help="FLARE's project file.")],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for the kits and the root key; without it nothing is made.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Add to what is there, without a question.")] = False,
) -> None:
    """Make the startup kits of a federation: look at the names in the file, then run `nvflare provision`.

    FLARE takes a site named `server`, and says "likely a bug" to a name such as 01 or yes without quotes, or
    of more than 64 characters. Nothing is written where a name can't be used.
    """
    import os
    import subprocess
    import sys

    from consilium.provisioning.project_file import read_project_file

    read_project_file(project, missing="copy provision/project.yml of Consilium, and edit it")
    if to is None:
        say(f"the names in {project} can be used")
        return
    command = [sys.executable, "-m", "nvflare.cli", "provision"]
    place = ["-p", os.path.relpath(project), "-w", os.path.relpath(to)]
    done = subprocess.run([*command, *place, *(["--force"] if force else [])], check=False)
    raise typer.Exit(done.returncode)
