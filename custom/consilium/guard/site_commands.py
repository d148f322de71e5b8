"""Table of the server's commands that a hospital accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nvflare.apis.fl_constant import AdminCommandNames
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey
from nvflare.fuel.f3.message import Message as CellMessage
from nvflare.fuel.sec.authz import AuthorizationService, AuthzContext, Person
from nvflare.private.admin_defs import Message, error_reply
from nvflare.private.defs import (
    InfoCollectorTopic,
    RequestHeader,
    SysCommandTopic,
    TrainingTopic,
    new_cell_message,
)
from nvflare.private.fed.client.admin import FedAdminAgent, RequestProcessor

from consilium.errors import RefusalCode
from consilium.federation.safe_names import is_job_id
from consilium.guard.audit_log import record_rejected_command
from consilium.guard.parties import Kind, parse_party
from consilium.records.remedies import remedy_for


@dataclass(frozen=True)
class Command:
    """Conditions under which a hospital accepts a command.

    Attributes:
        right: The command whose right its user needs by the hospital's own `authorization.json`, whatever the
            message says about it; None for what the server does of itself to run a job.
        of_job: Whether it is about a job, whose id then must be one.
        sender: Who may send it.
    """

    right: str | None = None
    of_job: bool = False
    sender: Kind = Kind.SERVER


COMMANDS: Final[Mapping[str, Command]] = {
    # To run a job.
    TrainingTopic.CHECK_RESOURCE: Command(of_job=True),
    TrainingTopic.CANCEL_RESOURCE: Command(),
    TrainingTopic.DEPLOY: Command(right=AdminCommandNames.SUBMIT_JOB, of_job=True),
    TrainingTopic.START_JOB: Command(of_job=True),
    TrainingTopic.ABORT: Command(of_job=True),
    TrainingTopic.NOTIFY_JOB_STATUS: Command(of_job=True, sender=Kind.SITE_JOB),
    # For the users who watch it.
    TrainingTopic.ABORT_TASK: Command(right=AdminCommandNames.ABORT, of_job=True),
    TrainingTopic.CHECK_STATUS: Command(right=AdminCommandNames.CHECK_STATUS),
    TrainingTopic.GET_SCOPES: Command(right=AdminCommandNames.SHOW_SCOPES),
    SysCommandTopic.SYS_INFO: Command(right=AdminCommandNames.SYS_INFO),
    SysCommandTopic.REPORT_RESOURCES: Command(right=AdminCommandNames.REPORT_RESOURCES),
    SysCommandTopic.REPORT_VERSION: Command(right=AdminCommandNames.CHECK_STATUS),
    InfoCollectorTopic.SHOW_STATS: Command(right=AdminCommandNames.SHOW_STATS, of_job=True),
    InfoCollectorTopic.SHOW_ERRORS: Command(right=AdminCommandNames.SHOW_ERRORS, of_job=True),
    InfoCollectorTopic.RESET_ERRORS: Command(right=AdminCommandNames.RESET_ERRORS, of_job=True),
}
"""FLARE's name of a command -> what is accepted of it.

What is not here has no handler at a hospital. FLARE's others read the site's files (`sys.shell`), show their
place (`sys.report_env`), remove folders (`train.delete_run`), change what is logged
(`*.configure_*_log`), and stop or restart the site (`train.shutdown`, `train.restart`). Who sends
them, is what the server says, so a hospital does these things itself, at its own machine.
"""


class GuardedAdminAgent(FedAdminAgent):  # type: ignore[misc]
    """FLARE's receiver of the server's commands at a site, restricted to those in the table.

    FLARE's own asks whether a command is authorized only if the command's message says that it must be, and
    takes whatever process of the federation for its sender. The arguments are FLARE's.
    """

    def register_processor(self, processor: RequestProcessor) -> None:
        """Register a handler of commands, only for those in the table."""
        for topic in processor.get_topics():
            if topic in COMMANDS:
                self.processors[topic] = processor

    def _dispatch_request(self, request: CellMessage) -> CellMessage:
        message = request.payload
        fault, code = _fault(request), RefusalCode.COMMAND
        if fault is None:
            fault, code = _lacking_right(message), RefusalCode.COMMAND_RIGHT
        if fault is not None:
            record_rejected_command(request.headers or {}, getattr(message, "topic", None), fault, code)
            reason = f"this site rejects the command ({code.value}): {fault}. What to do: {remedy_for(code)}"
            return new_cell_message({}, error_reply(reason))
        command = COMMANDS[message.topic]
        if command.right is not None:
            message.set_header(RequestHeader.ADMIN_COMMAND, command.right)
            message.set_header(RequestHeader.REQUIRE_AUTHZ, "true")
        reply: CellMessage = super()._dispatch_request(request)
        return reply


def _fault(request: CellMessage) -> str | None:
    """Return why a command is rejected; None if it is accepted."""
    message, sender = request.payload, parse_party(request.get_header(MessageHeaderKey.ORIGIN))
    if not isinstance(message, Message) or not isinstance(message.topic, str):
        return "it is not a command"
    command = COMMANDS.get(message.topic)
    if command is None:
        return f"{message.topic[:60]!r} is not available at a site"
    if sender is None or sender.kind is not command.sender:
        return f"it comes from {'nobody' if sender is None else sender.kind.value}"
    job_id = message.get_header(RequestHeader.JOB_ID)
    if command.of_job and not is_job_id(job_id):
        return "it names no job id"
    if sender.job is not None and sender.job != job_id:
        return "it is about another job than its sender's"
    return None


def _lacking_right(message: Message) -> str | None:
    """Return which right the user of a command lacks by this site's policy; None if all is well.

    FLARE asks that as well, and records the command as if it were carried out.
    """
    right = COMMANDS[message.topic].right
    if right is None:
        return None

    def said(name: str, org: str, role: str) -> Person:
        return Person(*(str(message.get_header(key, "")) for key in (name, org, role)))

    user = said(RequestHeader.USER_NAME, RequestHeader.USER_ORG, RequestHeader.USER_ROLE)
    submitter = said(RequestHeader.SUBMITTER_NAME, RequestHeader.SUBMITTER_ORG, RequestHeader.SUBMITTER_ROLE)
    authorized, _ = AuthorizationService.authorize(AuthzContext(right, user, submitter))
    return None if authorized else f"user {user.name} is not authorized for it by this site's policy"
