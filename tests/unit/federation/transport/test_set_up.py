import subprocess
import sys

SCRIPT = """
from nvflare.fuel.f3.cellnet import cell
from nvflare.fuel.f3.streaming import byte_receiver
from nvflare.private.fed.server.server_command_agent import ServerCommandAgent

from consilium.federation.transport.set_up import set_up_server_process

def places():
    agent = ServerCommandAgent
    return {
        cell._is_server_job_cell, byte_receiver.RxTask, agent._execute_command, agent._aux_communicate
    }

before = places()
set_up_server_process()
assert not before & places(), before & places()
set_up_server_process()
"""


def test_the_server_looks_at_what_sites_send_before_any_job_starts():
    """In a process of its own, in which nothing is replaced yet."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
