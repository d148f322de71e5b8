"""Jobs that ask for what no job may have, each an ordinary one with a single change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..studies import edit_json

Change = Callable[[Path], None]


def make(job: Path, folder: Path) -> dict[str, Path]:
    """Make every hostile job; returns their folders.

    Args:
        job: The ordinary job.
        folder: Where to.
    """
    jobs = {}
    for name, change in CHANGES.items():
        jobs[name] = folder / name / job.name
        shutil.copytree(job, jobs[name])
        change(jobs[name])
    return jobs


def _bring_code(job: Path) -> None:
    (job / "app/custom").mkdir()
    (job / "app/custom/mine.py").write_text("raise SystemExit\n")


def _add_file(name: str, content: bytes) -> Change:
    return lambda job: (job / "app/config" / name).write_bytes(content) and None


def _add_component(side: str, path: str, **arguments: Any) -> Change:
    component = {"id": "stranger", "path": path, "args": arguments}
    return lambda job: edit_json(
        job / f"app/config/config_fed_{side}.json", lambda config: config["components"].append(component)
    )


def _set_network(value: Any) -> Change:
    def edit(config: Any) -> None:
        config["executors"][0]["executor"]["args"]["learning"]["network"] = value

    return lambda job: edit_json(job / "app/config/config_fed_client.json", edit)


_SHELL = {"path": "subprocess.Popen", "args": {"args": ["touch", "/tmp/consilium-was-here"], "shell": False}}
_PERSISTOR = "consilium.federation.rounds.persistor.WeightsPersistor"

CHANGES: dict[str, Change] = {
    "code of its own": _bring_code,
    "subprocess.Popen": _add_component("client", "subprocess.Popen", args=["id"]),
    "builtins.eval": _add_component("server", "builtins.eval", source="1"),
    "unlisted class of FLARE": _add_component(
        "client", "nvflare.app_opt.pt.file_model_persistor.PTFileModelPersistor", model=None
    ),
    "unlisted class within ours": _add_component("client", _PERSISTOR, learning=_SHELL),
    "unlisted class deep within ours": _add_component(
        "client", _PERSISTOR, learning={"deep": [{"x": _SHELL}]}
    ),
    "function of ours": _add_component("client", "consilium.simulation.process.stop_process_tree", pid=1),
    "environment variable": _set_network("{$HOME}"),
    "variable of the site": _set_network("{WORKSPACE}"),
    "secret of the site": _set_network("${secret:TOKEN}"),
    "absolute path": _set_network("/etc/passwd"),
    "parent folder": _set_network("models/../../secret"),
    "home folder": _set_network("~/model"),
    "address elsewhere": _set_network("https://collector.example.org/"),
    "configuration with includes": _add_file("config_fed_client.conf", b'include file("/etc/passwd")\n'),
    "configuration of logging": _add_file("log_config.json", b"{}"),
    "oversized archive": _add_file("padding.bin", os.urandom(1_500_000)),
}
"""What is wrong with a job to how it is made."""

REASONS = {
    "code of its own": "brings code of its own",
    "subprocess.Popen": "'subprocess.Popen': it is not in the class_allow_list",
    "builtins.eval": "'builtins.eval': it is not in the class_allow_list",
    "unlisted class of FLARE": "PTFileModelPersistor': it is not in the class_allow_list",
    "unlisted class within ours": "'subprocess.Popen': it is not in the class_allow_list",
    "unlisted class deep within ours": "'subprocess.Popen': it is not in the class_allow_list",
    "function of ours": "no component for a job",
    "environment variable": "'{$HOME}': a job holds values, not variables",
    "variable of the site": "'{WORKSPACE}': a job holds values, not variables",
    "secret of the site": "'${secret:TOKEN}': a job holds values, not variables",
    "absolute path": "'/etc/passwd': a job names no place outside its own folder",
    "parent folder": "'models/../../secret': a job names no place outside",
    "home folder": "'~/model': a job names no place outside",
    "address elsewhere": "a job names no place outside",
    "configuration with includes": "it holds a file app/config/config_fed_client.conf",
    "configuration of logging": "it holds a file app/config/log_config.json",
    "oversized archive": "at most 1048576 are allowed",
}
"""What is wrong with a job to what its submitter is told."""
