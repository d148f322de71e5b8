"""Who may do what, as a table for people, made from the policies that provisioning writes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from nvflare.apis.fl_constant import AdminCommandNames as Name
from nvflare.fuel.sec.authz import AuthzContext, Person, Policy, parse_policy_config
from nvflare.private.defs import ComponentCallerTopic, InfoCollectorTopic, SysCommandTopic, TrainingTopic
from nvflare.security.security import COMMAND_CATEGORIES

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.guard.site_commands import COMMANDS
from consilium.provisioning.policy import authorization_policy

BEGIN: Final = "<!-- Written by `make rights` from the policy; a test compares the two. -->\n"
END: Final = "<!-- End of what is written. -->\n"

_SERVER, _HOSPITAL, _OTHER = "consortium", "a hospital", "another hospital"

_USERS: Final = {
    "project admin": Person("admin", _SERVER, "project_admin"),
    "lead": Person("scientist", _SERVER, "lead"),
    "org admin of a hospital": Person("it", _HOSPITAL, "org_admin"),
    "member": Person("observer", _SERVER, "member"),
}
_AT_THE_MACHINE: Final = "hospital's IT, at its machine"

_CODE: Final = ("byoc", "server-predeployed-flwr")
_SHELL: Final = (
    Name.SHELL_CAT, Name.SHELL_GREP, Name.SHELL_HEAD, Name.SHELL_LS, Name.SHELL_PWD, Name.SHELL_TAIL
)  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """Something that people do.

    Attributes:
        what: In words.
        about: What decides: the server alone (`server`), who submitted a job (`job`), or the `hospital`.
        rights: FLARE's names of the commands or rights by which it is done.
        topics: The commands as a hospital gets them.
    """

    what: str
    about: Literal["server", "job", "hospital"]
    rights: tuple[str, ...]
    topics: tuple[str, ...] = ()


_ROWS: Final = (
    _Row("submit a job", "server", (Name.SUBMIT_JOB,)),
    _Row("bring code in a job", "server", _CODE),
    _Row("submit a copy of a job (`clone_job`)", "job", (Name.CLONE_JOB,)),
    _Row(
        "abort, delete, download a job; read or change what the server logs of it",
        "job",
        (
            Name.ABORT, Name.ABORT_JOB, Name.DELETE_JOB, Name.DELETE_WORKSPACE, Name.CONFIGURE_JOB_LOG,
            Name.DOWNLOAD_JOB, Name.GET_JOB_LOG,
        ),
    ),
    _Row(
        "list jobs, see states, scores and errors",
        "server",
        (
            Name.LIST_JOBS, Name.GET_JOB_META, Name.CHECK_STATUS, Name.SHOW_SCOPES, Name.SHOW_STATS,
            Name.SHOW_ERRORS, Name.RESET_ERRORS,
        ),
    ),
    _Row(
        "restart or shut down the server, change what it logs; remove, disable or enable a hospital",
        "server",
        (
            Name.RESTART, Name.SHUTDOWN, Name.CONFIGURE_SITE_LOG, Name.REMOVE_CLIENT, Name.DISABLE_CLIENT,
            Name.ENABLE_CLIENT, Name.SET_TIMEOUT, Name.CALL, Name.SYS_INFO, Name.REPORT_RESOURCES,
            Name.REPORT_ENV,
        ),
    ),
    _Row("read files of the server (`cat`, `tail`, `ls`, `grep`)", "server", _SHELL),
    _Row(
        "see a hospital's system information and resources",
        "hospital",
        (Name.SYS_INFO, Name.REPORT_RESOURCES),
        (SysCommandTopic.SYS_INFO, SysCommandTopic.REPORT_RESOURCES),
    ),
    _Row(
        "see a hospital's state, scores and errors in a job",
        "hospital",
        (Name.CHECK_STATUS, Name.SHOW_SCOPES, Name.SHOW_STATS, Name.SHOW_ERRORS, Name.RESET_ERRORS),
        (
            TrainingTopic.CHECK_STATUS, TrainingTopic.GET_SCOPES, InfoCollectorTopic.SHOW_STATS,
            InfoCollectorTopic.SHOW_ERRORS, InfoCollectorTopic.RESET_ERRORS, SysCommandTopic.REPORT_VERSION,
        ),
    ),
    _Row("read files and logs of a hospital", "hospital", _SHELL, (SysCommandTopic.SHELL,)),
    _Row(
        "restart or stop a hospital, change what it logs, delete its folders of a job",
        "hospital",
        (
            Name.RESTART, Name.SHUTDOWN, Name.CONFIGURE_SITE_LOG, Name.CONFIGURE_JOB_LOG,
            Name.DELETE_WORKSPACE, Name.REPORT_ENV, Name.CALL,
        ),
        (
            TrainingTopic.RESTART, TrainingTopic.SHUTDOWN, SysCommandTopic.CONFIGURE_SITE_LOG,
            TrainingTopic.CONFIGURE_JOB_LOG, TrainingTopic.DELETE_RUN, SysCommandTopic.REPORT_ENV,
            ComponentCallerTopic.CALL_COMPONENT,
        ),
    ),
)  # fmt: skip


def rights_table() -> str:
    """Return the table in Markdown."""
    titles = ["", *_USERS, _AT_THE_MACHINE]
    lines = [titles, ["---"] * len(titles)]
    lines += [
        [
            row.what,
            *(_cell(row, user) for user in _USERS.values()),
            "yes" if row.about == "hospital" else "no",
        ]
        for row in _ROWS
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def covered_rights() -> set[str]:
    """Return FLARE's names of all commands and rights that the table is about."""
    return {right for row in _ROWS for right in row.rights}


def write_table(page: Path) -> None:
    """Replace the table in a page.

    Raises:
        ConfigurationError: If the page has no place for it.
    """
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ConfigurationError(f"{page} needs the lines {BEGIN.strip()} and {END.strip()}, once each")
    before, rest = text.split(BEGIN)
    write_atomically(page, (before + BEGIN + rights_table() + END + rest.split(END)[1]).encode())


def _cell(row: _Row, user: Person) -> str:
    answers = {tuple(one) for one in _answers(row, user)}
    if len(answers) != 1:
        raise ConfigurationError(
            f"the table's row {row.what!r} is of several rights for {user.role}; split it"
        )
    return _WORDS[row.about][answers.pop()]


def _answers(row: _Row, user: Person) -> Iterator[tuple[bool, ...]]:
    """Yield what is permitted by each of a row's rights: in the cases that its words distinguish."""
    if row.about == "hospital":
        known = [topic for topic in row.topics if topic in COMMANDS]
        if not known:
            yield False, False
        for topic in row.topics if known else ():
            right = COMMANDS[topic].right
            yield tuple(_permits("client", site, right or "", user) for site in (_HOSPITAL, _OTHER))
    for right in row.rights if row.about != "hospital" else ():
        if row.about == "server":
            yield (_permits("server", _SERVER, right, user),)
        else:
            submitters = (
                user,
                Person("a colleague", user.org, "lead"),
                Person("a stranger", "elsewhere", "lead"),
            )
            yield tuple(_permits("server", _SERVER, right, user, one) for one in submitters)


_WORDS: Final[dict[str, dict[tuple[bool, ...], str]]] = {
    "server": {(True,): "yes", (False,): "no"},
    "hospital": {(True, True): "yes", (True, False): "own hospital's", (False, False): "no"},
    "job": {
        (True, True, True): "any",
        (True, True, False): "of users of its own organization",
        (True, False, False): "own",
        (False, False, False): "no",
    },
}


def _permits(
    kind: Literal["server", "client"], site: str, right: str, user: Person, submitter: Person | None = None
) -> bool:
    policy, error = parse_policy_config(authorization_policy(kind), COMMAND_CATEGORIES)
    if not isinstance(policy, Policy):
        raise ConfigurationError(f"FLARE can't read the policy: {error}")
    permitted, _ = policy.evaluate(site, AuthzContext(right, user, submitter))
    return bool(permitted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="the page that has the table: docs/rights.md")
    write_table(parser.parse_args().page)
