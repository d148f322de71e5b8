import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from consilium import processes as module
from consilium.errors import ConfigurationError
from consilium.processes import (
    defer_interrupts,
    ignore_interrupts,
    interrupt_on_termination,
    stop_process_tree,
    worker_pool,
)

# Each generation starts the next and prints when all are up; the last one ignores a polite request.
GRANDCHILD = """
import signal
{stubborn}
print("ready", flush=True)
signal.pause()
"""
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
PARENT = (
    "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]], check=False)"
)
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
DEADLINE_SECONDS = 20


@pytest.fixture
def family(request):
    """A process with a child and a grandchild, all up and running."""
    grandchild = GRANDCHILD.format(stubborn=request.param)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, grandchild, CHILD], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout.readline() == "ready\n"
        members = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
        yield members
        for member in members:
            if member.is_running():
                member.kill()


@pytest.mark.parametrize("family", ["", STUBBORN], indirect=True, ids=["polite", "stubborn"])
def test_no_descendant_outlives_a_stopped_job(family, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_TO_END", 0.5)
    assert len(family) == 3
    stop_process_tree(family[0].pid)
    _, alive = psutil.wait_procs(family, timeout=DEADLINE_SECONDS)
    assert alive == []


def test_stopping_what_has_ended_is_no_error():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(DEADLINE_SECONDS)
    stop_process_tree(ended.pid)


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", ENDS)
def test_a_command_that_is_ended_in_any_way_can_stop_what_it_started(handlers, number):
    interrupt_on_termination()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_who_asked_to_outlive_the_terminal_does(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt_on_termination()
    signal.raise_signal(signal.SIGHUP)


@pytest.mark.parametrize("number", ENDS)
def test_stopping_is_not_interrupted(handlers, number):
    interrupt_on_termination()
    with ignore_interrupts():
        signal.raise_signal(number)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_who_starts_processes_is_interrupted_afterwards(handlers):
    interrupt_on_termination()
    with pytest.raises(KeyboardInterrupt), defer_interrupts():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        assert signal.SIGTERM in signal.sigpending()


def test_a_pool_never_starts_as_many_processes_as_a_typo_asks_for(monkeypatch):
    """All processes of a pool start with the first function that it gets."""
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    for asked, started in ((3, 3), (99_999, module.MOST_WORKERS)):
        with worker_pool(asked) as pool:
            assert pool._max_workers == started


def test_there_is_no_other_way_to_start_a_pool():
    package = Path(module.__file__).parent
    with_pools = [path for path in package.rglob("*.py") if "ProcessPoolExecutor(" in path.read_text()]
    assert with_pools == [package / "processes.py"]


def test_workers_continue_for_a_while_when_their_whole_group_is_ended():
    """`timeout` and a closed terminal signal all of them, and it is their parent that ends them."""
    with worker_pool(1) as pool:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            with defer_interrupts():
                work = pool.submit(_signal_oneself, number)
            assert work.result(DEADLINE_SECONDS) == number


def _signal_oneself(number):
    signal.raise_signal(number)
    return number


def test_a_worker_that_nobody_ends_does_not_stay(monkeypatch):
    with worker_pool(1, _end_soon_at_once) as pool:
        with defer_interrupts():
            work = pool.submit(_wait_after_sigterm)
        with pytest.raises(BrokenProcessPool):
            work.result(DEADLINE_SECONDS)


def _end_soon_at_once():
    module._SECONDS_TO_END = 0.1


def _wait_after_sigterm():
    signal.raise_signal(signal.SIGTERM)
    signal.pause()


POOL = """
import os, signal, time
from consilium.processes import defer_interrupts, worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        with defer_interrupts():
            worker = pool.submit(os.getpid)
        print(worker.result(), flush=True)
        signal.pause()
"""
CHILD_WITH_PIPE = """
import subprocess, sys
from consilium.processes import end_with_parent
sys.stdin.readline()
end_with_parent(sys.stdin)
grandchild = subprocess.Popen(["sleep", "1000"])
print(grandchild.pid, flush=True)
grandchild.wait()
"""
PIPE = f"""
import signal, subprocess, sys
words = [sys.executable, "-c", {CHILD_WITH_PIPE!r}]
process = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
process.stdin.write(b"begin\\n")
process.stdin.flush()
signal.pause()
"""


@pytest.mark.parametrize("program", [POOL, PIPE], ids=["workers", "a process of its own session"])
def test_what_a_killed_program_had_started_ends_with_it(program, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(program)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        started = psutil.Process(int(parent.stdout.readline()))
        family = [started, *psutil.Process(parent.pid).children(recursive=True)]
        parent.kill()
    _, alive = psutil.wait_procs(family, timeout=DEADLINE_SECONDS)
    assert alive == []


POOL = """
import sys
from consilium.processes import worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(len, "abc").result())
"""


@pytest.mark.parametrize("name", ["multiprocessing.py", "pickle/__init__.py", "random.pyc"])
def test_no_worker_starts_where_python_3_10_would_import_from_the_current_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr(module.sys, "version_info", (3, 10, 13))
    monkeypatch.chdir(tmp_path)
    for harmless in ("consilium.py", "scripts/__init__.py", "random/notes.txt", "pickle.txt"):
        (tmp_path / harmless).parent.mkdir(exist_ok=True)
        (tmp_path / harmless).touch()
    with worker_pool(1):
        pass
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ConfigurationError, match="in another folder"), worker_pool(1):
        pass


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 starts none in such a folder")
def test_a_worker_imports_nothing_from_the_folder_that_a_command_is_called_in(tmp_path):
    program = tmp_path / "program/pool.py"
    program.parent.mkdir()
    program.write_text(POOL)
    (tmp_path / "foreign").mkdir()
    for name in ("multiprocessing", "pickle", "random", "consilium"):
        (tmp_path / f"foreign/{name}.py").write_text("open('it-ran', 'w')")
    ended = subprocess.run(
        [sys.executable, program], cwd=tmp_path / "foreign", capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "3\n", ended.stderr
    assert not (tmp_path / "foreign/it-ran").exists()


STAYS = """
import sys, threading
from consilium.processes import end_program, leave_threads_behind
threading.Thread(target=threading.Event().wait).start()
print("result")
{left}
end_program(3)
print("returned", flush=True)
"""


def test_a_program_ends_with_its_code_and_its_output_although_threads_run_on():
    ended = subprocess.run(
        [sys.executable, "-c", STAYS.format(left="leave_threads_behind()")],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert (ended.returncode, ended.stdout) == (3, "result\n")


def test_a_program_that_left_no_threads_behind_ends_as_python_does():
    with subprocess.Popen(
        [sys.executable, "-c", STAYS.format(left="")], stdout=subprocess.PIPE, text=True
    ) as running:
        read = [running.stdout.readline(), running.stdout.readline()]
        running.kill()
    assert read == ["result\n", "returned\n"]


def test_a_reader_that_has_gone_does_not_keep_a_program_whose_threads_run_on():
    command = STAYS.format(left="leave_threads_behind()")
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    with subprocess.Popen([sys.executable, "-c", command], stdout=subprocess.PIPE, env=buffered) as running:
        running.stdout.close()
        try:
            assert running.wait(DEADLINE_SECONDS) == 3
        finally:
            running.kill()
