import subprocess
import sys

SCRIPT = """
from pathlib import Path
from sys import argv

from nvflare.fuel.f3.streaming.download_service import ProduceRC
from nvflare.fuel.f3.streaming.file_downloader import FileDownloadable

from consilium.federation.transport.set_up import set_up_from_the_start
from consilium.provisioning.communication import communication

content = bytes(range(256)) * 40_000  # 10 MB
file = Path(argv[1])
file.write_bytes(content)
largest = communication("server")["streaming_max_blob_size"]

def pieces():
    offered, state = FileDownloadable(str(file)), {}
    while True:
        code, piece, state = offered.produce(state, "user")
        if code != ProduceRC.OK:
            return
        yield piece

assert max(map(len, pieces())) > largest, "FLARE's own pieces fit by now"
set_up_from_the_start()
taken = list(pieces())
assert b"".join(taken) == content
assert 2 * max(map(len, taken)) < largest
"""


def test_a_result_of_any_size_comes_in_messages_that_a_server_s_kit_allows(tmp_path):
    """In a process of its own, in which nothing is replaced yet."""
    subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "workspace.zip")], check=True)
