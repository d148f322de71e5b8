"""Check of modes and owners: other accounts that can read or change the kit or the site's files."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import WorkspaceConstants
from nvflare.fuel.utils.class_loader import get_class_name
from nvflare.tool.deploy.k8s_deploy import HELM_CHART_DIR

from consilium.counts import counted
from consilium.data.files import OTHERS
from consilium.errors import ConfigurationError
from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.guard.private_files import PrivateFiles
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.provisioning.start_scripts import UMASK_LINE
from consilium.site_check.finding import SiteCheck, SiteFinding

KIT = SiteCheck("modes.kit", "Kit closed to other accounts")
POLICY = SiteCheck("modes.policy", "Policy writable by its owner only")
OWNER = SiteCheck("modes.owner", "Files belong to this account")
UMASK = SiteCheck("modes.umask", "Processes write for their owner only")
RECORDS = SiteCheck("modes.records", "Records closed to other accounts")
PARENTS = SiteCheck("modes.parents", "Folders above not writable by others")

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_KIT_PARTS = ("startup", "local", HELM_CHART_DIR)
"""What a kit comes with; `nvflare deploy prepare` adds the last for Kubernetes."""

_DATASET = "dataset"
_ROOT_VARIABLES = (
    WorkspaceConstants.ENV_VAR_RESULT_ROOT,
    WorkspaceConstants.ENV_VAR_LOG_ROOT,
    WorkspaceConstants.ENV_VAR_AUDIT_ROOT,
)
"""Environment variables by which FLARE writes its results and logs elsewhere than in the kit."""

_IN_KIT = "(in the kit's folder)"
_SHOWN = 10


def check_modes(kit: Kit, site: SiteSettings | None) -> Iterator[SiteFinding]:
    """Check modes and owners of the kit, of what the site writes, and of the folders above.

    Args:
        kit: The kit.
        site: The hospital's settings, with folders resolved; None if there are none.
    """
    places = _places_of_records(kit, site)
    yield _check_kit(kit)
    yield _check_policy(kit)
    yield _check_owner(kit, places)
    yield _check_umask(kit)
    yield _check_records(kit, site, places)
    yield _check_parents({"the kit": kit.root, **places})


def _places_of_records(kit: Kit, site: SiteSettings | None) -> dict[str, Path]:
    """Return the folders outside the kit to which this site writes, by what names them."""
    # Every folder of the settings is ours but the hospital's own.
    settings = dict(site) if site else {}
    named = {name: value for name, value in settings.items() if isinstance(value, Path) and name != _DATASET}
    roots = {name: Path(os.environ[name]) for name in _ROOT_VARIABLES if os.environ.get(name)}
    named |= {name: root / kit.site_name for name, root in roots.items()}
    if kit.kind == "server" and os.environ.get(SERVER_STORAGE):
        named[SERVER_STORAGE] = Path(os.environ[SERVER_STORAGE])
    root = kit.root.resolve()
    return {name: path for name, path in named.items() if not path.resolve().is_relative_to(root)}


def _check_kit(kit: Kit) -> SiteFinding:
    mode = stat.S_IMODE(kit.root.stat().st_mode)
    if mode & OTHERS:
        return KIT.failed(
            f"the kit's folder has mode {mode:04o}: other accounts of this machine can look into it, where "
            "private key, policy and logs lie",
            f"chmod go-rwx . {_IN_KIT}",
            data={"mode": f"{mode:04o}"},
        )
    return KIT.ok(f"the kit's folder has mode {mode:04o}")


def _check_policy(kit: Kit) -> SiteFinding:
    parts = [part for part in _KIT_PARTS if (kit.root / part).exists()]
    found = [path for path, status in _policy(kit) if status.st_mode & _OTHERS_WRITE]
    if found:
        return POLICY.failed(
            "other accounts of this machine can change "
            f"{counted(len(found), 'file or folder', 'files or folders')} of "
            f"{' and '.join(parts)}, which decide what runs here",
            f"look at what local/ says now, then chmod -R go-w {' '.join(parts)} {_IN_KIT}",
            data={"writable": len(found)},
            details=_shown(found),
        )
    return POLICY.ok(f"nobody else can change {' and '.join(parts)}")


def _check_owner(kit: Kit, places: Mapping[str, Path]) -> SiteFinding:
    """Check owners: the owner of a file can change it, whatever its mode is."""
    present = {path: path.stat() for path in (kit.root, *places.values()) if path.exists()}
    owners = {path: status.st_uid for path, status in (*present.items(), *_policy(kit))}
    found = {path: owner for path, owner in owners.items() if owner not in (os.geteuid(), 0)}
    if found:
        others = sorted(set(found.values()))
        return OWNER.failed(
            f"{counted(len(found), 'file or folder', 'files or folders')} of the kit, or that its settings "
            "name, of another account "
            f"(user id {', '.join(map(str, others))}), which can change them; this check runs as user id "
            f"{os.geteuid()}",
            "run this check as the account that starts FLARE; if that is this one, chown -R "
            f'"$(id -un)" . {_IN_KIT}, and likewise the other folders below',
            data={"owners": others},
            details=_shown(found),
        )
    return OWNER.ok(f"kit and folders belong to user id {os.geteuid()} or to root")


def _check_umask(kit: Kit) -> SiteFinding:
    """Check what sets the umask: the scripts of the kit, or a component where FLARE starts without them."""
    scripts = [f"startup/{name}" for name in kit.start_scripts if name not in kit.runtime_scripts]
    try:
        lacking = [
            name for name in scripts if UMASK_LINE not in kit.read_text(name).splitlines(keepends=True)
        ]
        resources = kit.policy_file(WorkspaceConstants.RESOURCES_CONFIG)
        components = kit.read_json(resources or "").get("components", [])
        if not scripts and not any(_sets_umask(component) for component in components):
            return UMASK.failed(
                f"{resources} has no component {get_class_name(PrivateFiles)}, so others can read what the "
                "processes write",
                f"copy the component private_files from {WorkspaceConstants.DEFAULT_RESOURCES_CONFIG} beside "
                "it; if it has none, ask the project admin for a new kit",
            )
    except (ConfigurationError, TypeError) as error:
        return UMASK.skipped(f"the kit isn't complete: {error}")
    if lacking:
        return UMASK.failed(
            f"{', '.join(lacking)} of this kit set no umask, so others can read what the processes write",
            "ask the project admin for a new kit: this one is of an earlier version, or was changed",
            data={"scripts": lacking},
        )
    return UMASK.ok(f"{', '.join(scripts) or resources} sets umask 077")


def _sets_umask(component: Any) -> bool:
    return isinstance(component, dict) and component.get("path") == get_class_name(PrivateFiles)


def _check_records(kit: Kit, site: SiteSettings | None, places: Mapping[str, Path]) -> SiteFinding:
    root = kit.root.resolve()
    dataset = site.dataset.resolve() if site else None  # the hospital's own, whatever its modes are
    in_kit = [path.relative_to(root) for path in _open_to_others(root, dataset) if path != root]
    in_kit = [path for path in in_kit if path.parts[0] not in _KIT_PARTS]
    counts = {"the kit": len(in_kit)}
    counts |= {name: len(list(_open_to_others(place.resolve(), dataset))) for name, place in places.items()}
    counts = {name: count for name, count in counts.items() if count}
    if not counts:
        return RECORDS.ok("what this site has written, its logs and its cache, only its owner can read")
    remedies, details = [], _shown(in_kit)
    for name in counts:
        place = places.get(name, root)
        shared = dataset is not None and dataset.is_relative_to(place.resolve())
        if name in places and shared:
            remedies.append(
                f"set {name} to a folder that doesn't hold the dataset, which is not ours to close"
            )
        elif name in places:
            remedies.append(f"chmod -R go-rwx with the folder of {name} as the argument")
            details.append(f"chmod -R go-rwx {shlex.quote(str(place))}")
        elif dataset is not None and shared:
            remedies.append(f"the command below {_IN_KIT}, which leaves the dataset out")
            left_out = shlex.quote(f"./{dataset.relative_to(root)}")
            details.append(f"find . -path {left_out} -prune -o ! -type l -exec chmod go-rwx {{}} +")
        else:
            remedies.append(f"chmod -R go-rwx . {_IN_KIT}")
    return RECORDS.failed(
        "other accounts of this machine can read or change what this site has written, which names patients: "
        + ", ".join(
            f"{counted(count, 'file or folder', 'files or folders')} of {name}"
            for name, count in counts.items()
        ),
        "; ".join(remedies),
        data={"open": counts},
        details=details,
    )


def _check_parents(places: Mapping[str, Path]) -> SiteFinding:
    """Check the folders above: an account that can write to one can put another folder in place of ours."""
    above = {
        parent: (name, parent.stat())
        for name, place in places.items()
        for parent in (*place.absolute().parents, *place.resolve().parents)
        if parent.exists()
    }
    everybody: dict[Path, str] = {}
    somebody: dict[Path, str] = {}
    for path, (name, status) in above.items():
        sticky = status.st_mode & stat.S_ISVTX  # then only the owner of what is in it can rename it
        if status.st_mode & stat.S_IWOTH and not sticky:
            everybody[path] = name
        elif (status.st_mode & stat.S_IWGRP and not sticky) or status.st_uid not in (os.geteuid(), 0):
            somebody[path] = name
    if everybody:
        return PARENTS.failed(
            f"every account of this machine can write to {len(everybody)} of the folders above "
            f"{_names(everybody)}, and so put another folder in its place",
            "chmod o-w with the folders below as arguments",
            data={"writable": len(everybody)},
            details=[f"chmod o-w {shlex.quote(str(path))}" for path in everybody],
        )
    if somebody:
        return PARENTS.warning(
            f"a group or another account can write to {len(somebody)} of the folders above "
            f"{_names(somebody)}, and so put another folder in its place",
            "chmod g-w and chown root with the folders below as arguments, or move ours elsewhere; "
            "nothing, if nobody else is in that group",
            data={"writable": len(somebody)},
            details=[str(path) for path in somebody],
        )
    return PARENTS.ok("nobody else can put another folder in place of the kit or of what it writes")


def _policy(kit: Kit) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the parts of the kit and all in them; of a link, the state of what it leads to."""
    for part in _KIT_PARTS:
        for path, status in _walk((kit.root / part).resolve()):
            with suppress(OSError):
                yield path, path.stat() if stat.S_ISLNK(status.st_mode) else status


def _open_to_others(root: Path, dataset: Path | None) -> Iterator[Path]:
    """Yield what others can read, write or enter, but for the dataset, and links: their modes say nothing."""
    for path, status in _walk(root, without=dataset):
        if status.st_mode & OTHERS and not stat.S_ISLNK(status.st_mode):
            yield path


def _walk(root: Path, *, without: Path | None = None) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield a folder and all below it with their states, following no link.

    Files that disappear meanwhile or that this account can't read are left out.
    """
    waiting = [root]
    while waiting:
        path = waiting.pop()
        if path == without and path != root:
            continue
        with suppress(OSError):
            status = path.lstat()
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                waiting += sorted(path.iterdir(), reverse=True)


def _names(folders: Mapping[Path, str]) -> str:
    return ", ".join(sorted(set(folders.values())))


def _shown(paths: Iterable[Path]) -> list[str]:
    """Return lines for a terminal; another account may have chosen the names."""
    lines = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in str(path)) for path in paths]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return [*lines[:_SHOWN], *more]
