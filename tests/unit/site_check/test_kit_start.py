"""Whether a kit could be started where it lies."""

import os
import shutil
import socket

from consilium.guard.kit_processes import LOCK_FILE
from consilium.guard.workspace_lock import open_lock, take
from consilium.provisioning.kit import Kit
from consilium.site_check.finding import Status
from consilium.site_check.kit_start import check_kit_start

from .federation import SERVER, SITE


def test_a_kit_that_can_be_started_is_left_as_it_is(root):
    assert check_kit_start(Kit(root)).status is Status.OK
    assert not (root / LOCK_FILE).exists()


def test_a_kit_that_runs_is_well(root):
    descriptor = open_lock(root)
    try:
        take(descriptor, root)
        finding = check_kit_start(Kit(root))
    finally:
        os.close(descriptor)
    assert finding.status is Status.OK
    assert finding.seen.startswith("it runs")
    assert check_kit_start(Kit(root)).seen.startswith("its path")


def test_a_kit_whose_path_flare_would_split_is_rejected(kits, tmp_path, refused):
    moved = shutil.copytree(kits / SITE, tmp_path / "my kits" / SITE)
    refused(check_kit_start(Kit(moved)), "has a space in it", "Move it to a folder without")


def test_a_server_whose_port_is_taken_is_rejected(kits, tmp_path, refused):
    kit = shutil.copytree(kits / SERVER, tmp_path / SERVER)
    path = kit / "startup/fed_server.json"
    with socket.create_server(("", 0)) as other:
        path.write_text(path.read_text().replace("8102", str(other.getsockname()[1])))
        refused(check_kit_start(Kit(kit)), "is taken by another program", "Stop it")
