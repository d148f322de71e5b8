"""A hardened systemd unit for a hospital or the server."""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nvflare.apis.fl_constant import WorkspaceConstants

from consilium.errors import ConfigurationError
from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.federation.site.local_settings import PROPERTY
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit

_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")

_SECONDS_TO_STOP: Final = 90
"""More than `consilium site stop` takes at worst."""

_UNIT = """\
# Written by `consilium site service {kit}`: write it again when a path in it changes.
[Unit]
Description=Consilium {what} {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
UMask=0077
WorkingDirectory={kit}
Environment={path}
# --once: systemd restarts it, not the script, which gives up after five deaths.
ExecStart=/bin/bash {start} --once
ExecStop=/usr/bin/env {stop} site stop --now {kit_word}
KillMode=control-group
TimeoutStopSec={seconds}
Restart={restart}
RestartSec=30

# It may write to its own folders and nowhere else, and gain no rights.
ProtectSystem=strict
ProtectHome=read-only
{writes}
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
SystemCallArchitectures=native
# Not set, as GPUs need them: PrivateDevices, MemoryDenyWriteExecute.

[Install]
WantedBy=multi-user.target
"""


def service_unit(kit: Kit, *, user: str | None = None) -> str:
    """Return the unit, with the folders of this machine and the environment that this runs in.

    A restart of the server that its admin asks for on the console ends the process in order, so the server's
    unit starts it whatever its exit code is; a hospital's only after a failure.

    Args:
        kit: The site's.
        user: The account that it runs as; by default the kit's owner.

    Raises:
        ConfigurationError: If the kit is for a container system, its owner is root or unknown, its start
            script is missing, or a path can't stand in a unit.
    """
    if kit.runtime != "process":
        raise ConfigurationError(
            f"{kit.root} was prepared for {kit.runtime}, which starts it itself; a unit is for a kit as "
            "it was provisioned"
        )
    root = kit.root.resolve()
    start = root / "startup" / "sub_start.sh"
    if not start.is_file():
        raise ConfigurationError(f"{start} is missing; ask the project admin for the kit again")
    programs = Path(sys.executable).parent
    writable = sorted({root, *_folders_outside(kit, root)})
    return _UNIT.format(
        kit=_escape(str(root)),
        kit_word=_word(str(root), command=True),
        what="server" if kit.kind == "server" else "site",
        name=_escape(f"{kit.site_name} of {kit.project}"),
        user=_account(user or _owner(root)),
        path=_word(f"PATH={programs}:/usr/local/bin:/usr/bin:/bin"),
        start=_word(str(start), command=True),
        stop=_word(str(programs / "consilium"), command=True),
        seconds=_SECONDS_TO_STOP,
        restart="always" if kit.kind == "server" else "on-failure",
        writes="\n".join(f"ReadWritePaths={_word(str(folder))}" for folder in writable),
    )


def _folders_outside(kit: Kit, root: Path) -> list[Path]:
    """Return the folders outside the kit that the hospital's settings let it write to."""
    if kit.kind == "server":
        storage = os.environ.get(SERVER_STORAGE)
        folders = [] if storage is None else [Path(storage)]
    else:
        folders = [
            folder for settings in _settings(kit) for folder in (settings.cache_dir, settings.state_dir)
        ]
    outside = [folder for one in folders if not (folder := one.resolve()).is_relative_to(root)]
    missing = sorted(str(folder) for folder in outside if not folder.is_dir())
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)} is not there, and the service may make no folder outside the kit: "
            "make it, as a folder of the account that runs the site"
        )
    return outside


def _settings(kit: Kit) -> Iterator[SiteSettings]:
    """Yield the settings of a hospital's privacy scopes."""
    policy = kit.policy_file(WorkspaceConstants.PRIVACY_CONFIG)
    for scope in kit.read_json(policy).get("scopes", []) if policy else []:
        stated = scope.get("properties", {}).get(PROPERTY)
        if stated is not None:
            yield SiteSettings.parse(stated, source=policy or "").in_workspace(kit.root.resolve())


def _account(name: str) -> str:
    if not _ACCOUNT.fullmatch(name):
        raise ConfigurationError(f"{name!r} is not the name of an account that a systemd unit can hold")
    return name


def _owner(root: Path) -> str:
    try:
        owner = pwd.getpwuid(root.stat().st_uid).pw_name
    except KeyError:
        owner = "of an unknown number"
    if owner == "root":
        raise ConfigurationError(
            f"{root} belongs to the account {owner}, and a site runs as one without special rights: give it "
            f"the kit (chown -R consilium {root}), or name it with --user"
        )
    return owner


def _word(text: str, *, command: bool = False) -> str:
    """Return a text as one quoted word of a unit."""
    text = _escape(text).replace('"', '\\"')
    return f'"{text.replace("$", "$$") if command else text}"'


def _escape(text: str) -> str:
    # A backslash at the end of a line would make the next one a part of it.
    if not text.isprintable() or "\\" in text or text != text.strip():
        raise ConfigurationError(f"{text!r} can't stand in a systemd unit; move the kit to a plain path")
    return text.replace("%", "%%")
