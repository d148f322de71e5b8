"""FLARE's cells on one machine, in processes of their own."""

import os
import subprocess
import sys

import pytest

from consilium.guard.loopback import KEY_VARIABLE

pytestmark = pytest.mark.integration

START = """
import os, subprocess, sys, time
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.private.fed.utils.fed_utils import fobs_initialize
from consilium.guard.loopback import KEY_VARIABLE, guard_connections

NAME = "north.1c5a0f6e-9a3b-4d52-8f1e-0d6c2f6b7a11"
NOWHERE = {"root_url": "tcp://127.0.0.1:9", "secure": False, "credentials": {}}
fobs_initialize()
"""
CHILD = (
    START
    + """
url, kind, seconds = sys.argv[1:]
if kind == "guarded":
    guard_connections()
cell = Cell(fqcn=NAME, parent_url=url, **NOWHERE)
cell.start()
end = time.monotonic() + float(seconds)
while "north" not in cell.core_cell.agents and time.monotonic() < end:
    time.sleep(0.05)
print("north" in cell.core_cell.agents, flush=True)
os._exit(0)
"""
)
PARENT = (
    START
    + """
guard_connections()
cell = Cell(fqcn="north", create_internal_listener=True, **NOWHERE)
cell.start()
stranger = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
for environment, kind, seconds in (
    (os.environ, "guarded", 60), (stranger, "guarded", 3), (stranger, "flare's", 3)
):
    command = [sys.executable, "-c", sys.argv[1], cell.get_internal_listener_url(), kind, str(seconds)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(ended.stdout.split()[-1], NAME in cell.core_cell.agents, flush=True)
    while NAME in cell.core_cell.agents:
        time.sleep(0.05)
os._exit(0)
"""
)


def test_a_cell_of_flare_s_joins_only_with_the_secret():
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    command = [sys.executable, "-c", PARENT, CHILD]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
    own, stranger, without_our_code = ended.stdout.splitlines()
    assert own.startswith("True")
    assert (stranger, without_our_code) == ("False False", "False False")
