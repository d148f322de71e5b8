"""The C library keeps freed memory: asked of a process of its own, as it can't be undone."""

import subprocess
import sys

import pytest

from consilium.learning import freed_memory

PROGRAM = """
import resource, sys
import numpy as np
from consilium.learning.freed_memory import keep_freed_memory

kept = keep_freed_memory() if "keep" in sys.argv else None
np.ones(20_000_000)  # 160 MB, freed at once
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(20_000_000)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(*arguments):
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], check=True, capture_output=True, text=True
    ).stdout.split()
    return output[0], int(output[1])


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_that_was_freed_is_used_again_without_asking_the_system_for_its_pages():
    _, returned = run()
    kept, again = run("keep")
    if kept != "True":
        pytest.skip("the C library is none of glibc")
    assert again < returned / 10


def test_another_c_library_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    assert not freed_memory.keep_freed_memory()
    monkeypatch.setattr(freed_memory.sys, "platform", "darwin")
    assert not freed_memory.keep_freed_memory()
