import subprocess
import sys
import threading

from consilium.federation.site.process_resources import can_start_threads

WITHOUT_MEMORY = """
import resource
from pathlib import Path
from consilium.federation.site.process_resources import can_start_threads
pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize(), resource.RLIM_INFINITY))
print(can_start_threads())
"""


def test_a_process_with_room_can_and_keeps_none_of_them():
    before = threading.enumerate()
    assert can_start_threads()
    assert set(threading.enumerate()) <= set(before)


def test_one_without_room_for_a_stack_can_t():
    done = subprocess.run([sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
