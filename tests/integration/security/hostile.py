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
    for name, change in {**CHANGES, **META_CHANGES}.items():
        jobs[name] = folder / name / job.name
        shutil.copytree(job, jobs[name])
        change(jobs[name])
    return jobs


def _bring_code(job: Path) -> None:
    (job / "app/custom").mkdir()
    (job / "app/custom/mine.py").write_text("raise SystemExit\n")


def _add_file(name: str, content: bytes) -> Change:
    return lambda job: (job / "app/config" / name).write_bytes(content) and None


def _replace(name: str, before: bytes, after: bytes) -> Change:
    def change(job: Path) -> None:
        content = (job / name).read_bytes()
        assert before in content
        (job / name).write_bytes(content.replace(before, after))

    return change


def _add_component(side: str, path: str, **arguments: Any) -> Change:
    component = {"id": "stranger", "path": path, "args": arguments}
    return lambda job: edit_json(
        job / f"app/config/config_fed_{side}.json", lambda config: config["components"].append(component)
    )


def _edit(name: str, edit: Callable[[Any], Any]) -> Change:
    return lambda job: edit_json(job / name, edit)


def _learning(config: Any) -> Any:
    return config["executors"][0]["executor"]["args"]["learning"]


def _set_network(value: Any) -> Change:
    return _edit(CLIENT, lambda config: _learning(config).update(network=value))


META, CLIENT, SERVER = "meta.json", "app/config/config_fed_client.json", "app/config/config_fed_server.json"

_SHELL = {"path": "subprocess.Popen", "args": {"args": ["touch", "/tmp/consilium-was-here"], "shell": False}}
_PERSISTOR = "consilium.federation.rounds.persistor.WeightsPersistor"
_CHOSEN_ID = "9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00"

CHANGES: dict[str, Change] = {
    "code of its own": _bring_code,
    "subprocess.Popen": _add_component("client", "subprocess.Popen", args=["id"]),
    "builtins.eval": _add_component("server", "builtins.eval", source="1"),
    "unlisted class of FLARE": _add_component(
        "client", "nvflare.app_opt.pt.file_model_persistor.PTFileModelPersistor", model=None
    ),
    "class of the other side": _add_component("client", _PERSISTOR, learning={}),
    "listed class beside the job's": _add_component(
        "client",
        "nvflare.app_common.widgets.convert_to_fed_event.ConvertToFedEvent",
        events_to_convert=["*"],
    ),
    "unlisted class within ours": _add_component("client", _PERSISTOR, learning=_SHELL),
    "unlisted class deep within ours": _add_component(
        "client", _PERSISTOR, learning={"deep": [{"x": _SHELL}]}
    ),
    "function of ours": _add_component("client", "consilium.processes.stop_process_tree", pid=1),
    "class that clears a folder": _add_component(
        "client", "consilium.federation.updates.spool.UpdateSpool", folder="local"
    ),
    "class that is only imported there": _add_component(
        "client", "consilium.guard.server_guard.ZipFile", file="local/privacy.json", mode="w"
    ),
    "class that is only imported elsewhere": _add_component(
        "client", "consilium.federation.transport.arrival.Path", args="local"
    ),
    "another controller": _edit(
        SERVER,
        lambda config: config["workflows"][0].update(path="nvflare.app_common.workflows.fedavg.FedAvg"),
    ),
    "another executor": _edit(
        CLIENT, lambda config: config["executors"][0]["executor"].update(path="subprocess.Popen")
    ),
    "executor of other tasks": _edit(CLIENT, lambda config: config["executors"][0].update(tasks=["*"])),
    "filter of what leaves": _edit(
        CLIENT,
        lambda config: config["task_result_filters"].append({"tasks": ["train"], "filters": [_SHELL]}),
    ),
    "another argument": _edit(
        SERVER, lambda config: config["workflows"][0]["args"].update(persistor_id="stranger")
    ),
    "unknown key": _edit(CLIENT, lambda config: config.update(default_task_fetch_interval=0.001)),
    "unknown setting": _edit(CLIENT, lambda config: _learning(config).update(output=".")),
    "border between the hospital's patients": _edit(
        CLIENT, lambda config: _learning(config).update(validation_fraction=0.5)
    ),
    "setting out of range": _edit(CLIENT, lambda config: _learning(config).update(batch_size=10**9)),
    "true for one": _edit(CLIENT, lambda config: _learning(config).update(batch_size=True)),
    "sites that train something else": _edit(CLIENT, lambda config: _learning(config).update(seed=7)),
    "environment variable": _set_network("{$HOME}"),
    "variable of the site": _set_network("{WORKSPACE}"),
    "secret of the site": _set_network("${secret:TOKEN}"),
    "absolute path": _set_network("/etc/passwd"),
    "absolute path after a blank": _set_network(" /etc/passwd"),
    "the kit itself": _set_network("."),
    "folder of the kit": _set_network("startup"),
    "parent folder": _set_network("models/../../secret"),
    "home folder": _set_network("~/model"),
    "address elsewhere": _set_network("https://collector.example.org/"),
    "configuration with includes": _add_file("config_fed_client.conf", b'include file("/etc/passwd")\n'),
    "configuration of logging": _add_file("log_config.json", b"{}"),
    "key that stands twice": _replace(CLIENT, b'"components"', b'"executors": [], "components"'),
    "another encoding": _replace(CLIENT, b"unet_small", "unet_smäll".encode()),
    "oversized archive": _add_file("padding.bin", os.urandom(1_500_000)),
}
"""What is wrong with a job's app to how it is made."""

META_CHANGES: dict[str, Change] = {
    "id of a folder": _edit(META, lambda meta: meta.update(job_id="local")),
    "id of its own": _edit(META, lambda meta: meta.update(job_id=_CHOSEN_ID)),
    "resumption of a folder": _edit(META, lambda meta: meta.update(resume="../local")),
    "image of its own": _edit(
        META, lambda meta: meta.update(launcher_spec={"default": {"docker": {"image": "evil"}}})
    ),
    "code by word": _edit(META, lambda meta: meta.update(byoc=True)),
    "unknown entry": _edit(META, lambda meta: meta.update(stats_pool_config={})),
    "fewer sites than the job says": _edit(META, lambda meta: meta.update(min_clients=1)),
    "name that is a path": _edit(META, lambda meta: meta.update(name="../../x")),
    "scope that is a path": _edit(META, lambda meta: meta.update(scope="../../x")),
    "second app": _edit(META, lambda meta: meta["deploy_map"].update(other=["north"])),
}
"""What is wrong with a job's description to how it is made."""

_NOTHING = "a training job with these settings has nothing there"
REASONS = {
    "code of its own": "contains code of its own",
    "subprocess.Popen": "components[1] is {\"id\": \"stranger\", \"path\": \"subprocess.Popen\"",
    "builtins.eval": "components[5] is {\"id\": \"stranger\", \"path\": \"builtins.eval\"",
    "unlisted class of FLARE": "PTFileModelPersistor",
    "class of the other side": _PERSISTOR,
    "listed class beside the job's": "ConvertToFedEvent",
    "unlisted class within ours": _PERSISTOR,
    "unlisted class deep within ours": _PERSISTOR,
    "function of ours": "consilium.processes.stop_process_tree",
    "class that clears a folder": "consilium.federation.updates.spool.UpdateSpool",
    "class that is only imported there": "consilium.guard.server_guard.ZipFile",
    "class that is only imported elsewhere": "consilium.federation.transport.arrival.Path",
    "another controller": "workflows[0].path is \"nvflare.app_common.workflows.fedavg.FedAvg\"; allowed: ",
    "another executor": "executors[0].executor.path is \"subprocess.Popen\"",
    "executor of other tasks": "executors[0].tasks[0] is \"*\"",
    "filter of what leaves": "task_result_filters[0] is {",
    "another argument": f"args.persistor_id is \"stranger\"; {_NOTHING}",
    "unknown key": f"default_task_fetch_interval is 0.001; {_NOTHING}",
    "unknown setting": "learning.output: no such setting",
    "border between the hospital's patients": "learning.validation_fraction: no such setting",
    "setting out of range": "learning.batch_size: allowed: 64 or less",
    "true for one": "learning.batch_size is true; a training job with these settings has 1 there",
    "sites that train something else": "learning.seed is 0; a training job with these settings has 7 there",
    **dict.fromkeys(
        ("environment variable", "variable of the site", "secret of the site", "absolute path", "home folder",
         "absolute path after a blank", "the kit itself", "parent folder", "address elsewhere",
         "folder of the kit"),
        "learning.network: allowed: 'unet_small' or 'segresnet'",
    ),
    "configuration with includes": "it holds 'app/config/config_fed_client.conf'",
    "configuration of logging": "it holds 'app/config/log_config.json'",
    "key that stands twice": "key \"executors\" occurs twice",
    "another encoding": "is not ASCII",
    "oversized archive": "at most 1048576 are allowed",
    "id of a folder": "it names a job_id; only the server gives a job its id",
    "id of its own": "it names a job_id; only the server gives a job its id",
    "resumption of a folder": "resume: no job id",
    "image of its own": "launcher_spec: no such setting",
    "code by word": "byoc: no such setting",
    "unknown entry": "stats_pool_config: no such setting",
    "fewer sites than the job says": "min_clients is 1; a training job with these settings has 2 there",
    "name that is a path": "name: allowed: lower-case letters, digits and _",
    "scope that is a path": "scope: allowed: what matches",
    "second app": "deploy_map",
}  # fmt: skip
"""What is wrong with a job to what its submitter gets as the reason."""
