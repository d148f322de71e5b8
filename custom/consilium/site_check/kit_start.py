"""Check of whether the kit's start script can start it."""

from __future__ import annotations

import os
from pathlib import Path

from consilium.guard.start_check import SPLIT, check_start, is_one_word
from consilium.guard.workspace_lock import StartError, WorkspaceIsTaken
from consilium.provisioning.kit import Kit
from consilium.site_check.finding import SiteCheck, SiteFinding

START = SiteCheck("kit.start", "Kit can be started")


def check_kit_start(kit: Kit) -> SiteFinding:
    """Check path, lock and, of a server, port, as the start script does. Nothing is started or locked."""
    if kit.runtime != "process":
        return START.skipped(f"it is prepared for {kit.runtime}, which starts it elsewhere")
    place = Path(os.path.normpath(kit.root.absolute()))
    if not is_one_word(str(place)):
        return START.failed("the path of the kit has a space in it, a quote, a backslash or '#'", SPLIT)
    try:
        warning = check_start(place)
    except WorkspaceIsTaken:
        return START.ok("it runs; its start script would not start it a second time")
    except StartError as error:
        return START.failed(error.fault, error.remedy)
    if warning:
        return START.warning("its file system has no locks: nothing notices a second start", "start it once")
    return START.ok("its path, and the lock that keeps it from running twice, are as they should be")
