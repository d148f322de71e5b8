"""A process that has a kit, or none, and sends whatever it likes: FLARE's cell without anything of ours.

A process of its own: its argument is what it is and what it sends, standard output what it was answered.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, MessageType, ReturnCode
from nvflare.fuel.f3.cellnet.utils import encode_payload, new_cell_message
from nvflare.fuel.f3.drivers.driver_params import DriverParams
from nvflare.fuel.sec.authn import set_add_auth_headers_filters
from nvflare.private.admin_defs import Message as Command
from nvflare.private.defs import (
    CellChannel,
    CellChannelTopic,
    CellMessageHeaderKeys,
    ClientType,
    RequestHeader,
)
from nvflare.private.fed.authenticator import Authenticator
from nvflare.private.fed.utils.fed_utils import fobs_initialize

CONNECT_SECONDS, ANSWER_SECONDS = 15.0, 6.0
NO_ANSWER = (ReturnCode.TIMEOUT, ReturnCode.COMM_ERROR, ReturnCode.TARGET_UNREACHABLE)


def main() -> None:
    """Connect, send, and say what was answered."""
    order = json.loads(sys.argv[1])
    fobs_initialize()
    startup = Path(order["kit"]) / "startup" if order["kit"] else None
    credentials = {} if startup is None else {
        DriverParams.CA_CERT.value: str(startup / "rootCA.pem"),
        DriverParams.CLIENT_CERT.value: str(startup / "client.crt"),
        DriverParams.CLIENT_KEY.value: str(startup / "client.key"),
    }  # fmt: skip
    cell = Cell(
        fqcn=order["name"], root_url=order["url"], parent_url=order.get("parent"),
        secure=startup is not None, credentials=credentials,
    )  # fmt: skip
    cell.start()
    end = time.monotonic() + CONNECT_SECONDS
    while not cell.core_cell.agents and time.monotonic() < end:
        time.sleep(0.1)
    connected, answers = bool(cell.core_cell.agents), []
    if connected:
        if order["register"]:
            _register(cell, order, startup)
        with ThreadPoolExecutor(200) as pool:
            answers = list(pool.map(lambda one: _try(cell, *one), order["messages"]))
        if order["register"]:
            quit_ = new_cell_message({CellMessageHeaderKeys.PROJECT_NAME: order["project"]}, Shareable())
            cell.core_cell.send_request(
                CellChannel.SERVER_MAIN, CellChannelTopic.Quit, "server", quit_, timeout=ANSWER_SECONDS
            )
    json.dump({"connected": connected, "answers": answers}, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # FLARE's threads would stay


def _register(cell: Cell, order: dict[str, Any], startup: Path) -> None:
    """Get a session of the server's, as every hospital does."""
    context = FLContext()
    context.set_prop("__identity_name__", order["name"], private=False)
    authenticator = Authenticator(
        cell=cell, project_name=order["project"], client_name=order["name"], client_type=ClientType.REGULAR,
        expected_sp_identity=order["server"], secure_mode=True, root_cert_file=str(startup / "rootCA.pem"),
        private_key_file=str(startup / "client.key"), cert_file=str(startup / "client.crt"),
        msg_timeout=10.0, retry_interval=1.0, timeout=CONNECT_SECONDS,
    )  # fmt: skip
    token, signature, ssid, _ = authenticator.authenticate(context, Signal())
    set_add_auth_headers_filters(cell, order["name"], token, signature, ssid)


def _try(cell: Cell, form: str, origin: str | None, target: str, channel: str, topic: str) -> Any:
    """Send one message in one form; returns what was answered, None if nothing was."""
    message = _message(channel, topic)
    topic = "admin" if channel == CellChannel.CLIENT_MAIN else topic
    if form == "forged":
        return _forge(cell, origin, target, channel, topic, message)
    send = cell.core_cell.send_request if form == "plain" else cell._send_request
    reply = send(
        channel=channel, topic=topic, target=target, request=message, timeout=ANSWER_SECONDS, optional=True
    )
    code = reply.get_header(MessageHeaderKey.RETURN_CODE)
    return None if code in NO_ANSWER else [code, repr(reply.payload)[:300]]


def _message(channel: str, topic: str) -> Any:
    if channel != CellChannel.CLIENT_MAIN:
        return new_cell_message({"job_id": "local"}, Shareable())
    command = Command(topic=topic, body="ls .")
    command.set_header(RequestHeader.JOB_ID, "local")
    command.set_header(RequestHeader.JOB_META, {"name": "x"})
    return new_cell_message({}, command)


def _forge(cell: Cell, origin: str, target: str, channel: str, topic: str, message: Any) -> None:
    """Put a message on the line that says that it comes from another process."""
    core = cell.core_cell
    neighbor = next(iter(core.agents.values())).endpoint
    encode_payload(message)
    message.add_headers(
        {
            MessageHeaderKey.CHANNEL: channel, MessageHeaderKey.TOPIC: topic,
            MessageHeaderKey.ORIGIN: origin, MessageHeaderKey.DESTINATION: target,
            MessageHeaderKey.FROM_CELL: core.get_fqcn(), MessageHeaderKey.TO_CELL: neighbor.name,
            MessageHeaderKey.MSG_TYPE: MessageType.REQ, MessageHeaderKey.ROUTE: [[origin, time.time()]],
            MessageHeaderKey.REQ_ID: "forged", MessageHeaderKey.REPLY_EXPECTED: True,
        }
    )  # fmt: skip
    for filter_ in core.out_req_filter_reg.find(channel, topic) or ():
        filter_.cb(message, *filter_.args, **filter_.kwargs)
    core.communicator.send(neighbor, core.APP_ID, message)


if __name__ == "__main__":
    main()
