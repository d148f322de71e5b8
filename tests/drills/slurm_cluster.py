"""A real Slurm of one node: munge, MariaDB, slurmdbd, slurmctld and slurmd, started and ended by a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from integration.security.federation import free_port
from waiting import wait_until

_PROGRAMS = (
    "munged", "mariadbd", "mariadb-install-db", "mariadb", "slurmdbd", "slurmctld", "slurmd",
    "sbatch", "squeue", "sacct", "sacctmgr", "scancel", "scontrol", "sinfo",
)  # fmt: skip

PARTITION = "drill"

URGENT = "urgent"
"""A partition whose jobs end those of the other where a node is full."""


def missing() -> str | None:
    """Return why no Slurm can be started here; None if one can."""
    if os.geteuid() != 0:
        return "starting Slurm's daemons takes root"
    absent = [name for name in _PROGRAMS if _program(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: slurm-wlm slurmdbd munge mariadb-server)"
    return None


class SlurmCluster:
    """One node with one partition, accounting included, out of a folder of its own.

    Args:
        root: Where its configuration, its key and its files lie.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._processes: list[subprocess.Popen[bytes]] = []
        self._name = socket.gethostname().partition(".")[0]
        for name in ("db", "log", "state", "spool", "munge"):
            (root / name).mkdir(parents=True)
        self.environment = {"SLURM_CONF": str(root / "slurm.conf"), "SLURM_TIME_FORMAT": "standard"}

    def start(self) -> None:
        """Start all daemons, each when the one that it needs answers."""
        key = self.root / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        socket_path = self.root / "munge/socket"
        self._run(
            "munged", "--foreground", "--force", f"--socket={socket_path}", f"--key-file={key}",
            *(f"--{kind}-file={self.root}/munge/{kind}" for kind in ("pid", "log", "seed")),
        )  # fmt: skip
        wait_until(socket_path.exists, "munge answers")
        database = self._start_database()
        self._write_configuration(socket_path, database)
        self._run("slurmdbd", "-D")
        wait_until(lambda: self._answers("sacctmgr", "-n", "show", "cluster"), "slurmdbd answers")
        self.ask("sacctmgr", "-i", "add", "cluster", "drill")
        self._run("slurmctld", "-D", "-c")
        wait_until(lambda: self._answers("scontrol", "ping"), "slurmctld answers")
        self._run("slurmd", "-D", "-N", self._name)
        wait_until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T", check=False), "the node is idle")

    def stop(self) -> None:
        """End the daemons, the last first, and what slurmd has started."""
        for process in reversed(self._processes):
            with suppress(psutil.NoSuchProcess):
                started = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)
                for one in started:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
            process.kill()
            process.wait()

    def ask(self, program: str, *arguments: str, check: bool = True) -> str:
        """Run one of Slurm's commands; returns what it prints."""
        done = self._call(program, *arguments)
        assert not check or done.returncode == 0, f"{program} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self, state: str = "R") -> list[str]:
        """Return the ids of the jobs in a state, as `squeue -t` names it."""
        return self.ask("squeue", "-h", "-o", "%i", "-t", state).split()

    def states(self) -> dict[str, str]:
        """Return the state of every job of today, as the accounting has it, by id."""
        lines = self.ask("sacct", "-X", "-n", "-P", "--format=JobIDRaw,State").splitlines()
        return dict(line.split("|", 1) for line in lines)

    def log(self) -> str:
        """Return what the daemons have logged."""
        return "\n".join(path.read_text(errors="replace") for path in (self.root / "log").iterdir())

    def _start_database(self) -> int:
        folder, port = self.root / "db", free_port()
        done = self._call(
            "mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={folder}", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        self._run(
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={folder}", f"--port={port}",
            "--bind-address=127.0.0.1", f"--socket={folder}/socket", f"--pid-file={folder}/pid",
            "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900", "--skip-name-resolve",
        )  # fmt: skip
        client = ("--no-defaults", f"--socket={folder}/socket", "-u", "root")
        wait_until(lambda: self._answers("mariadb", *client, "-e", "SELECT 1"), "the database answers")
        grant = (
            "CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY 'drill';"
            "GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1';"
        )
        self.ask("mariadb", *client, "-e", grant)
        return port

    def _write_configuration(self, munge: Path, database: int) -> None:
        accounting = free_port()
        common = f"AuthType=auth/munge\nAuthInfo=socket={munge}\n"
        dbd = self.root / "slurmdbd.conf"
        dbd.write_text(
            f"{common}DbdHost=localhost\nDbdPort={accounting}\nSlurmUser=root\nDebugLevel=info\n"
            f"PidFile={self.root}/slurmdbd.pid\nStorageType=accounting_storage/mysql\n"
            f"StorageHost=127.0.0.1\nStoragePort={database}\nStorageUser=slurm\nStoragePass=drill\n"
        )
        dbd.chmod(0o600)  # or slurmdbd refuses to start
        # No cgroups: a container or sandbox has none to give away. Jobs end 5 s after their time.
        (self.root / "slurm.conf").write_text(
            f"ClusterName=drill\nSlurmctldHost={self._name}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\n{common}"
            f"SlurmctldPort={free_port()}\nSlurmdPort={free_port()}\n"
            f"StateSaveLocation={self.root}/state\nSlurmdSpoolDir={self.root}/spool\n"
            f"SlurmctldPidFile={self.root}/slurmctld.pid\nSlurmdPidFile={self.root}/slurmd.pid\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\n"
            "MpiDefault=none\nCredType=cred/munge\nReturnToService=2\nSwitchType=switch/none\n"
            "SchedulerType=sched/backfill\nSelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\n"
            "SchedulerParameters=sched_min_interval=1000000\nKillWait=5\nOverTimeLimit=0\nJobRequeue=1\n"
            "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=localhost\n"
            f"AccountingStoragePort={accounting}\nAccountingStoragePass={munge}\nAccountingStoreFlags=job_comment\n"
            f"NodeName={self._name} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN\n"
            f"PartitionName={PARTITION} Nodes={self._name} Default=YES MaxTime=INFINITE State=UP\n"
            f"PartitionName={URGENT} Nodes={self._name} PriorityTier=10 MaxTime=INFINITE State=UP\n"
            "PreemptType=preempt/partition_prio\nPreemptMode=CANCEL\n"
        )

    def _run(self, program: str, *arguments: str) -> None:
        with (self.root / "log" / program).open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [str(_program(program)), *arguments],
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(_program(program)), *arguments],
            env=self._environment(), capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip

    def _answers(self, program: str, *arguments: str) -> bool:
        running: Any = [process for process in self._processes if process.poll() is not None]
        assert not running, f"{running[0].args[0]} has ended: {self.log()[-2000:]}"
        return self._call(program, *arguments).returncode == 0

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
