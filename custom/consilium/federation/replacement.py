"""Replacement of classes and functions of FLARE, bound to the hash of their source.

FLARE has no setting for some of what a hospital needs, so a few of its classes are replaced by ours under
their own names. That is valid only for the source that ours was written against: `SOURCES` holds a hash of
each. Another FLARE, a patched one included, is rejected when the process starts, with the name of what
differs: hospitals and server check all of it before they connect, and each job what it builds on.
`pytest tests/unit/federation/test_replacement.py -s` prints the list.
"""

from __future__ import annotations

import hashlib
import inspect
import pkgutil
from collections.abc import Callable, Collection, Hashable, Mapping
from functools import cache
from types import ModuleType
from typing import Any, Final, cast

from consilium.errors import ConfigurationError

Source = type[Any] | Callable[..., Any]

SOURCES: Final[Mapping[str, str]] = {
    "nvflare.apis.impl.wf_comm_server.WFCommServer": (
        "afa404ca8d36eda22ad752defc2e118dc532500a7e18c6554c3ac2a262e16fc3"
    ),
    "nvflare.app_common.np.np_downloader.ArrayDownloadable": (
        "47a62239373d23782e8bc53ae18c3b47cd3e2baa8027f1d01258307f1f1d1a9f"
    ),
    "nvflare.app_common.np.np_downloader.download_arrays": (
        "1aaba5cd39f479acb6c55cc263027bebe1467ac945ce9d39dc1cc359fa8e2c98"
    ),
    "nvflare.app_common.workflows.base_model_controller.BaseModelController": (
        "3631a60544dd2d8a062125985110ba9bbb388daa10e6d70dea698bda1e63850c"
    ),
    "nvflare.app_common.workflows.model_controller.ModelController": (
        "a89dd9c4f947399aa6cf63b96dfb2c80538460a474f84063e0ad567d86bff130"
    ),
    "nvflare.app_common.workflows.statistics_controller.StatisticsController": (
        "d5768226ac4bb80697003723d7ce25a29fb875661597c88603f61dc6155bf3d6"
    ),
    "nvflare.app_opt.job_launcher.k8s_launcher.K8sJobHandle": (
        "414c7ae4a3f16c29ef8fc7afcb3e86ba1b099878a30f4dab267d3ddd0178756d"
    ),
    "nvflare.app_opt.job_launcher.k8s_launcher.K8sJobLauncher": (
        "304f782312552dc18476ef4679498184054e9bdd0ea0f0138b0cfc80b05ea553"
    ),
    "nvflare.app_opt.job_launcher.slurm.launcher.SlurmJobLauncher": (
        "589a455cede1b825019230294a5b25081189846e20af02f7d5187085ca86fc5b"
    ),
    "nvflare.app_opt.job_launcher.slurm.manager.SlurmJobManager": (
        "c2288ee7c9a1f389e8a8570bd6fb57482f82f9b11c69511b9f23ef881aa55071"
    ),
    "nvflare.app_opt.job_launcher.slurm.manager._job_key": (
        "acfe247600fb0e64dd399ee66e46cf832a10b3b4dc67a2651ac56b4ebc333be4"
    ),
    "nvflare.app_opt.job_launcher.slurm.manager._job_name": (
        "568461f39bba943b32e834a21101889e5b96a0f4b4633085b4eb9e3585638298"
    ),
    "nvflare.app_opt.job_launcher.slurm.scheduler_client._SlurmCliAdapter": (
        "2342e90f08120760306642ff99071cc879bb6314620d378dfe036c31fb4d4376"
    ),
    "nvflare.fuel.f3.cellnet.cell._is_server_job_cell": (
        "cd00cf8ab370d7d99c023acadc712ef0960822d5e6d8429ee95bba6026b370fa"
    ),
    "nvflare.fuel.f3.cellnet.core_cell.CoreCell": (
        "4b5afce337bb2c8d93296f9a816a7f227c29715dd6222b645ef6ea40faa9d7e2"
    ),
    "nvflare.fuel.f3.sfm.conn_manager.ConnManager": (
        "232edb3417fa6e04339f12838452a7018e825195d199810380f4bbe357f3db21"
    ),
    "nvflare.fuel.f3.sfm.sfm_conn.SfmConnection": (
        "b01352bf510a45f244eb540e16060c07ac6fd3061abce06d7abc05aa466049fe"
    ),
    "nvflare.fuel.f3.streaming.blob_streamer.BlobHandler": (
        "eb0bc5795e867f4906582d2998817431f69f2ed448ed09e2bc635fd16b6a6aac"
    ),
    "nvflare.fuel.f3.streaming.byte_receiver.RxTask": (
        "27ac2d5eecce2697d958dea5c9a5f9a63a32fbb296561640af31a8bf56c0b04f"
    ),
    "nvflare.fuel.f3.streaming.byte_streamer.ByteStreamer": (
        "b147065459ee8d6c91979f386df4ccbba0318c3db279de0a05b3b8eb22c729d3"
    ),
    "nvflare.fuel.f3.streaming.byte_streamer.TxTask": (
        "ba54491358d7f3fd2cdc8be167b2d6b6137a4f15a499ba6f42ba5a535df917c7"
    ),
    "nvflare.fuel.f3.streaming.file_downloader.FileDownloadable": (
        "763faabe7da3c3b98b3cc9f539db12ae95a5d77b10662e6b8af4da0de0cb46f5"
    ),
    "nvflare.fuel.f3.streaming.stream_utils.CheckedExecutor": (
        "db5a726856ed226fb2dc05d4f82065ed10d007cb7a86455ab601a14b0b885096"
    ),
    "nvflare.fuel.hci.server.authz.AuthzFilter": (
        "db7c05f293c61f507d2224868bc82533ae2c6e394ecb17f547ef4d3a4e41312b"
    ),
    "nvflare.private.fed.app.simulator.simulator_runner.SimulatorRunner": (
        "4b26fb80edff72194417d720d9e4da988ffdcf7eb62ea73c7073a5d98f84965f"
    ),
    "nvflare.private.fed.client.admin.FedAdminAgent": (
        "24b700d69a24624568327166939f17575071d2292ddc0a81ca9d5bc79d0d7d0f"
    ),
    "nvflare.private.fed.client.client_runner.ClientRunner": (
        "2786d4890112959c499384acc7abfc8ddea573ba4fd03ee72a821efa3e9c3f5d"
    ),
    "nvflare.private.fed.client.client_runner.ClientRunner.fetch_and_run_one_task": (
        "82bdf8343bff4d0aa34a67f4751f49b9d8ffb5c203468465eed87514412c97f4"
    ),
    "nvflare.private.fed.client.scheduler_cmds.StartJobProcessor.process": (
        "c5acbca6e3f020743ff6d6ea6720f3599f0d4fbb91d5ce2d017d33e4deff95fb"
    ),
    "nvflare.private.fed.client.training_cmds.DeployProcessor.process": (
        "545f5cc3d6960a73a3536b7c485b5442cf0177ed49f0c8f5e8432f581a7e1a96"
    ),
    "nvflare.private.fed.server.fed_server.FederatedServer": (
        "dcfc59bac7f5d5e1e72cf2137b467f58f246475173e3f041db79d4c293cb2158"
    ),
    "nvflare.private.fed.server.job_meta_validator.JobMetaValidator": (
        "ee279c061a5a3dd6c72e05f40f4240f3dec8ed432a0b7077fb0ceede92a1bc33"
    ),
    "nvflare.private.fed.server.job_runner.JobRunner": (
        "6330dc4fb7b08fd8706bdf4a6d3178050398ffcbc52d39405729e05bcc6e9d15"
    ),
    "nvflare.private.fed.server.server_command_agent.ServerCommandAgent._aux_communicate": (
        "f0d8cda43abe61cc6b69d5e208dd6441cb8296eba127ce790d37011b5d4dbe62"
    ),
    "nvflare.private.fed.server.server_command_agent.ServerCommandAgent._execute_command": (
        "eec04214784fe65f1a631c25c9df8e912f6685bb0c1f51a4de89a4aa8203e507"
    ),
    "nvflare.private.fed.utils.app_deployer.AppDeployer": (
        "3f3b88a33a46023b0dd75a1206b78f8e0899ed397963dd649790c52f0549cff4"
    ),
    "nvflare.utils.job_launcher_utils.get_credential_env": (
        "f730e2fb1a80edbe90393d4c1a2ab3968e0d2462e1454fb1a3236cb281aa3630"
    ),
}
"""Where FLARE defines it -> SHA-256 of its source in nvflare 2.9.0."""


def replace(module: ModuleType | type[Any], name: str, own: Source) -> None:
    """Replace a class or function of FLARE, where a module of FLARE uses it, by ours.

    Args:
        module: The module, or the class, that uses it.
        name: Its name there.
        own: A class derived from it, or a function with the same arguments.

    Raises:
        ConfigurationError: If its source is not the one that ours was written against.

    Example:
        ```python
        from nvflare.fuel.f3.streaming import byte_streamer
        from consilium.federation.transport.outgoing_streams import OutgoingStream

        replace(byte_streamer, "TxTask", OutgoingStream)
        ```
    """
    present = getattr(module, name, None)
    if present is own:
        return
    if present is None:
        raise ConfigurationError(
            f"nvflare has no {module.__name__}.{name}, which {own.__name__} replaces; install nvflare 2.9.0"
        )
    require_known(present)
    setattr(module, name, own)


def require_known(*sources: Source) -> None:
    """Check that classes and functions of FLARE have the source that ours were written against.

    Raises:
        ConfigurationError: If one of them has another; its message names all that differ.
    """
    _reject([place_of(source) for source in sources if not _is_known(source)])


@cache
def require_all_known() -> None:
    """Check once in a process that all that `SOURCES` lists has the source that ours was written against.

    What `replace` has put in a place was checked then.

    Raises:
        ConfigurationError: If something has another source; its message names all that differ.
    """
    present = {place: _find(place) for place in SOURCES}
    different = [
        place
        for place, source in present.items()
        if source is None or not (source.__module__.startswith("consilium.") or _is_known(source))
    ]
    _reject(different)


def place_of(source: Source) -> str:
    """Return where a class or function is defined, as `module.name`."""
    return f"{source.__module__}.{source.__qualname__}"


def digest(source: Source) -> str | None:
    """Return the SHA-256 of a class's or function's source; None if its source can't be read.

    A source is read once in a process: what has been imported is what counts.
    """
    return _digest(cast(Hashable, source))


@cache
def _digest(source: Hashable) -> str | None:
    try:
        return hashlib.sha256(inspect.getsource(cast(Source, source)).encode()).hexdigest()
    except (OSError, TypeError):
        return None


def _is_known(source: Source) -> bool:
    seen = digest(source)
    return seen is not None and SOURCES.get(place_of(source)) == seen


def _find(place: str) -> Source | None:
    try:
        found: Source = pkgutil.resolve_name(place)
    except (ImportError, AttributeError):
        return None
    return found


def _reject(different: Collection[str]) -> None:
    if different:
        raise ConfigurationError(
            f"the source of {', '.join(different)} is not that of nvflare 2.9.0, on which Consilium's "
            "replacements build; install nvflare 2.9.0 as it is published"
        )
