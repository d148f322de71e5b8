"""Ctrl-C in a POC."""

from pathlib import Path

import psutil
import pytest

from waiting import DEADLINE_SECONDS, wait_until

from .interrupts import press_ctrl_c, processes_of, started
from .poc_on_laptop import SITES, RunningPoc, of_few_patients

pytestmark = [pytest.mark.integration, pytest.mark.long]


def test_ctrl_c_in_the_middle_of_a_job_stops_everything(laptop: RunningPoc, tmp_path: Path) -> None:
    out, log = tmp_path / "poc", tmp_path / "stderr.txt"
    words = ["run", str(laptop.job), "--hospitals", str(laptop.hospitals), "--out", str(out)]
    project = of_few_patients(tmp_path / "project.yml")
    with started(laptop.command("poc", *words, "--project", str(project)), log) as process:
        wait_until(
            lambda: any(out.glob("flare/*/*/server/*/progress.json")) or process.poll() is not None,
            "the job starts",
        )
        assert process.poll() is None, log.read_text()
        running = processes_of(out / "flare")
        assert len(running) > 2 * (1 + len(SITES))  # scripts, parents, and the job's processes
        code, _ = press_ctrl_c(process)
    said = log.read_text()
    assert code == 130, said
    assert "stopped; nothing runs on. The same command starts again" in said
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(running, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert processes_of(out) == []
    assert "nothing was running" in laptop.run("poc", "down", "--out", str(out)).stderr
