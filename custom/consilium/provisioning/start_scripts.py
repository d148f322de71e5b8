"""Start scripts of a kit: additions to FLARE's, and memory settings.

The scripts get private files, checks before the start, paths with spaces, and stopping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from nvflare.lighter.constants import ParticipantType, ProvFileName
from nvflare.lighter.entity import Participant

from consilium.errors import ConfigurationError
from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.guard.kit_processes import LOCK_FILE
from consilium.guard.parties import SiteKind
from consilium.guard.start_check import FAILED
from consilium.guard.workspace_lock import DESCRIPTOR_VARIABLE

UMASK_LINE: Final = (
    "umask 077 # what this starts, and all that it writes, is closed to the machine's other accounts\n"
)
"""The second line of every script of a kit."""

_SHEBANG: Final = "#!/usr/bin/env bash\n"
_SCRIPTS: Final[Mapping[str, tuple[str, ...]]] = {
    ParticipantType.SERVER: (ProvFileName.START_SH, ProvFileName.SUB_START_SH, ProvFileName.STOP_FL_SH),
    ParticipantType.CLIENT: (ProvFileName.START_SH, ProvFileName.SUB_START_SH, ProvFileName.STOP_FL_SH),
    ParticipantType.ADMIN: (ProvFileName.FL_ADMIN_SH,),
}
"""The scripts that FLARE writes into every kit of a kind; some builders add others."""

_LOCK_DESCRIPTOR: Final = 9

_SERVER_MEMORY: Final = (
    "glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=65536"
)
"""By itself glibc keeps what is freed for each of the server's hundreds of threads, and pieces of models
among it; so all of them share it, and what is longer than 64 KiB goes back at once. It wins over
`MALLOC_ARENA_MAX`. Not for hospitals: training takes and frees arrays all the time."""

_ARENAS: Final = "4"
"""As FLARE's own start script sets it, which is not run where a pod or a container starts Python itself."""

_KNOWN_WORKSPACE: Final = 'echo "WORKSPACE set to $WORKSPACE"\n'
_BACKGROUND: Final = "$DIR/sub_start.sh &\n"
_GIVING_UP: Final = (
    'rm -f "$WORKSPACE/pid.fl" "$WORKSPACE/shutdown.fl" "$WORKSPACE/restart.fl" "$WORKSPACE/daemon_pid.fl"\n'
    "    exit\n"
)
_NO_PID_FILE: Final = 'if [[ ! -f "$WORKSPACE/pid.fl" ]]; then\n    echo '
_READ_PID: Final = '  pid=`cat "$WORKSPACE/pid.fl"`\n'
_PID_FROM_FILE: Final = (
    ("lst=-400\n", "lst=-400\npid=\n"),
    *(
        (f'{_NO_PID_FILE}"{then}', f'if [[ -z "$pid" ]]; then\n    echo "{then}')
        for then in ("No pid", "start")
    ),
    *((f"{_READ_PID}  {then}", f"  {then}") for then in ("sleep ", "kill ")),
)
"""Where the script reads which process it has started: a full disk keeps that file empty, and it would start
another process beside the one that runs. It has the number in a variable as well."""

_AFTER_SLEEP: Final = ("  if [[ ! -f ", "  kill -0 ")
"""What comes after the script's pauses, which would otherwise outlive a killed script with its lock."""

_STOP_ADVICE: Final = (
    'echo "Please use FL admin console to issue shutdown client command to properly stop this client."\n'
    'echo "This stop_fl.sh script can only be used as the last resort to stop this client."\n'
    'echo "It will not properly deregister the client to the server."\n'
    'echo "The client status on the server after this shell script will be incorrect."\n'
)
"""FLARE's, of a command of the console that a hospital's policy denies; in the server's kit as well."""

_OUR_STOP_ADVICE: Final = (
    'echo "To stop this site in order, answer N and type: consilium site stop $WORKSPACE"\n'
    'echo "This script is the last resort. It does not log out of the federation, and leaves jobs running."\n'
)

_CONSOLE: Final = (
    ("mkdir -p $DIR/../transfer\n", 'mkdir -p "$DIR/../transfer"\n'),
    ("-m $DIR/.. -s", '-m "$DIR/.." -s'),
)


def memory_environment(kind: SiteKind) -> Mapping[str, str]:
    """Return the memory settings of the C library for the processes of a server or a hospital.

    They only work as environment variables from a process's start on, and another C library takes no notice.
    How many threads compute is `cpu_threads` of the site, or as many cores as the container may use.
    """
    arenas = {"MALLOC_ARENA_MAX": _ARENAS}
    return {**arenas, "GLIBC_TUNABLES": _SERVER_MEMORY} if kind == "server" else arenas


def correct_scripts(startup: Path, participant: Participant) -> None:
    """Correct the scripts that FLARE has written into a kit.

    Args:
        startup: The kit's `startup/`.
        participant: Whose it is.

    Raises:
        ConfigurationError: If FLARE wrote them in another form than that of 2.9.
    """
    _set_umask(startup, participant)
    if participant.type == ParticipantType.ADMIN:
        _edit(startup / ProvFileName.FL_ADMIN_SH, _CONSOLE)
    elif participant.type in (ParticipantType.SERVER, ParticipantType.CLIENT):
        looked = _look("${NVFL_WORKSPACE:-$DIR/..}")
        _edit(startup / ProvFileName.START_SH, [(_BACKGROUND, f'{looked}"$DIR/sub_start.sh" &\n')])
        _edit(startup / ProvFileName.STOP_FL_SH, [(_STOP_ADVICE, _OUR_STOP_ADVICE)])
        exports = _server_exports() if participant.type == ParticipantType.SERVER else ""
        edits = [
            (_KNOWN_WORKSPACE, f"{_take_lock()}{exports}{_KNOWN_WORKSPACE}"),
            (_GIVING_UP, _GIVING_UP.replace("exit\n", "exit 1\n")),
            *((f"sleep 5\n{then}", f"sleep 5 {_LOCK_DESCRIPTOR}>&-\n{then}") for then in _AFTER_SLEEP),
            *_PID_FROM_FILE,
        ]
        _edit(startup / ProvFileName.SUB_START_SH, edits)


def _look(workspace: str, options: str = "") -> str:
    """Return lines that end a script where the kit can't be started."""
    return (
        f'python3 -m consilium.guard.start_check "{workspace}"{options} || {{\n'
        f'  [[ $? -eq {FAILED} ]] || echo "Not started: is the environment with consilium activated here? '
        'python3 is $(command -v python3)" >&2\n'
        "  exit 1\n"
        "}\n"
    )


def _take_lock() -> str:
    return (
        f'exec {_LOCK_DESCRIPTOR}>>"$WORKSPACE/{LOCK_FILE}" || exit 1 # open as long as the kit runs\n'
        + _look("$WORKSPACE", f" --hold {_LOCK_DESCRIPTOR}")
        + f"export {DESCRIPTOR_VARIABLE}={_LOCK_DESCRIPTOR}\n"
    )


def _server_exports() -> str:
    """Return lines that say where the server's workspace is, and how its processes keep memory.

    Nobody knows at provisioning where the workspace will be.
    """
    settings = ((SERVER_STORAGE, "$WORKSPACE"), *memory_environment("server").items())
    return "".join(f'export {name}="${{{name}:-{value}}}"\n' for name, value in settings)


def _set_umask(startup: Path, participant: Participant) -> None:
    """Let every script of a kit set the umask first."""
    scripts = {script.name: script for script in startup.glob("*.sh")}
    missing = [name for name in _SCRIPTS.get(participant.type, ()) if name not in scripts]
    unlike = [name for name, script in scripts.items() if not script.read_text().startswith(_SHEBANG)]
    if missing or unlike:
        raise ConfigurationError(
            f"{participant.name}: {', '.join([*missing, *unlike])} of the kit is missing, or no bash script "
            "as nvflare 2.9 writes it, so it can't be made to set umask 077; provision with nvflare 2.9, and "
            "with SitePolicyBuilder after StaticFileBuilder in the project file"
        )
    for script in scripts.values():
        script.write_text(script.read_text().replace(_SHEBANG, _SHEBANG + UMASK_LINE, 1))


def _edit(script: Path, edits: Sequence[tuple[str, str]]) -> None:
    text = script.read_text()
    for before, after in edits:
        if text.count(before) != 1:
            raise ConfigurationError(
                f"{script.name} of {script.parents[1].name} is not as nvflare 2.9 writes it "
                f"({before.strip()!r} stands there {text.count(before)} times), so it can't be corrected; "
                "provision with nvflare 2.9"
            )
        text = text.replace(before, after)
    script.write_text(text)
