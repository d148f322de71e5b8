"""`consilium provision`: run FLARE's provisioning after a check of the project file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from consilium.cli.options import ProjectFile
from consilium.cli.terminal import say

EPILOG = """
The kits of a federation, once the file is yours:

  $ consilium provision --project provision/project.yml --to provisioned

Only a look at a file, before `nvflare cert request` as well:

  $ consilium provision --project provision/hospital.yml

Again, after a hospital was added: the others' kits stay as they are

  $ consilium provision --project provision/project.yml --to provisioned --force
"""


def provision(
    project: ProjectFile,
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
    """Make the startup kits of a federation: check the project file, then run `nvflare provision`.

    FLARE takes a site named `server`, a port 80020, a misspelled property, and a file without our builders;
    to a name such as 01 or yes without quotes it says "likely a bug". Nothing is written where something in
    the file can't be used.
    """
    import os
    import subprocess
    import sys

    from consilium.provisioning.kit_packing import newest_kits
    from consilium.provisioning.project_check import check_project
    from consilium.provisioning.project_file import read_project_file

    content = read_project_file(project, missing="copy provision/project.yml of Consilium, and edit it")
    check_project(content, str(project), kits=to is not None)
    if to is None:
        say(f"{project} can be used")
        return
    command = [sys.executable, "-m", "nvflare.cli", "provision"]
    place = ["-p", os.path.relpath(project), "-w", os.path.relpath(to)]
    done = subprocess.run([*command, *place, *(["--force"] if force else [])], check=False)
    kits = newest_kits(to / content["name"])
    if not done.returncode and kits:
        say(
            f"next: consilium kits pack {kits} --to handover writes an archive for each participant; a "
            "hospital that has unpacked its own runs consilium check-site KIT before the first start",
            err=True,
        )
    raise typer.Exit(done.returncode)
