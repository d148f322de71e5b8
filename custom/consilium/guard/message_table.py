"""Table of the messages that a federation's processes accept.

A message whose sender, channel and topic are not in it is dropped by its receiver, and by the server where it
would have to pass it on. FLARE itself looks at a session's token only, passes messages between any two sites,
and has every process answer dozens of topics that debug, profile or stop it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nvflare.apis.fl_constant import AdminCommandNames, ReservedTopic, ServerCommandNames
from nvflare.app_opt.job_launcher.workspace_cell_transfer import (
    TOPIC_PREPARE_DOWNLOAD,
    TOPIC_PUBLISH_RESULTS,
    WORKSPACE_TRANSFER_CHANNEL,
)
from nvflare.fuel.f3.cellnet.defs import CellChannel, CellChannelTopic
from nvflare.fuel.f3.streaming.download_service import (
    OBJ_DOWNLOADER_CHANNEL,
    OBJ_DOWNLOADER_TOPIC,
    SOURCE_FAILURE_TOPIC,
)
from nvflare.private.defs import TrainingTopic
from nvflare.private.stream_runner import TOPIC_STREAM_ABORT, TOPIC_STREAM_REQUEST
from nvflare.widgets.fed_event import FED_EVENT_TOPIC

from consilium.federation.message_names import TASK_READY_TOPIC
from consilium.federation.monitoring.job_outcomes import JOB_ENDED_TOPIC
from consilium.guard.parties import Kind

Topics = Mapping[str, frozenset[str]]
"""Channel -> topics."""

ADMIN_TOPIC: Final = "admin"
"""Topic of every command that the server sends to a site; which command it is is in the message, and
`consilium.guard.site_commands` decides on it."""

_GOODBYE: Final = {CellChannel.CELLNET: frozenset({CellChannelTopic.Bye})}
_LARGE_OBJECTS: Final = {OBJ_DOWNLOADER_CHANNEL: frozenset({OBJ_DOWNLOADER_TOPIC, SOURCE_FAILURE_TOPIC})}
_FILES: Final = frozenset({TOPIC_STREAM_REQUEST, TOPIC_STREAM_ABORT})
_TRANSFER: Final = {
    WORKSPACE_TRANSFER_CHANNEL: frozenset({TOPIC_PREPARE_DOWNLOAD, TOPIC_PUBLISH_RESULTS}),
    **_LARGE_OBJECTS,
    **_GOODBYE,
}

MESSAGES: Final[Mapping[tuple[Kind, Kind], Topics]] = {
    # At a site.
    (Kind.SITE, Kind.SERVER): {CellChannel.CLIENT_MAIN: frozenset({ADMIN_TOPIC}), **_GOODBYE},
    (Kind.SITE, Kind.SITE_JOB): {
        CellChannel.CLIENT_MAIN: frozenset({TrainingTopic.NOTIFY_JOB_STATUS}),
        **_GOODBYE,
    },
    (Kind.SITE, Kind.TRANSFER): _TRANSFER,
    (Kind.SITE_JOB, Kind.SITE): {
        CellChannel.CLIENT_COMMAND: frozenset(
            {
                AdminCommandNames.ABORT,
                AdminCommandNames.ABORT_TASK,
                AdminCommandNames.CHECK_STATUS,
                AdminCommandNames.SHOW_STATS,
                AdminCommandNames.SHOW_ERRORS,
                AdminCommandNames.RESET_ERRORS,
            }
        ),
        **_GOODBYE,
    },
    (Kind.SITE_JOB, Kind.SERVER_JOB): {
        CellChannel.AUX_COMMUNICATION: frozenset(
            {ReservedTopic.END_RUN, ReservedTopic.ABORT_ASK, JOB_ENDED_TOPIC, TASK_READY_TOPIC}
        ),
        **_LARGE_OBJECTS,
    },
    (Kind.SITE_JOB, Kind.SERVER): _GOODBYE,
    # At the server.
    (Kind.SERVER, Kind.SITE): {
        CellChannel.SERVER_MAIN: frozenset(
            {
                CellChannelTopic.Challenge,
                CellChannelTopic.Register,
                CellChannelTopic.HEART_BEAT,
                CellChannelTopic.REPORT_JOB_FAILURE,
                CellChannelTopic.Quit,
            }
        ),
        **_GOODBYE,
    },
    (Kind.SERVER, Kind.SITE_JOB): _GOODBYE,
    (Kind.SERVER, Kind.SERVER_JOB): {
        CellChannel.SERVER_PARENT_LISTENER: frozenset(
            {
                ServerCommandNames.GET_CLIENTS,
                ServerCommandNames.HEARTBEAT,
                ServerCommandNames.UPDATE_RUN_STATUS,
            }
        ),
        **_GOODBYE,
    },
    (Kind.SERVER, Kind.TRANSFER): _TRANSFER,
    (Kind.SERVER, Kind.USER): {
        CellChannel.SERVER_MAIN: frozenset(
            {CellChannelTopic.Challenge, CellChannelTopic.Register, CellChannelTopic.Quit}
        ),
        CellChannel.HCI: frozenset({"command"}),
        CellChannel.AUX_COMMUNICATION: _FILES,
        **_LARGE_OBJECTS,
        **_GOODBYE,
    },
    (Kind.SERVER_JOB, Kind.SERVER): {
        CellChannel.SERVER_COMMAND: frozenset(
            {
                AdminCommandNames.ABORT,
                AdminCommandNames.CONFIGURE_JOB_LOG,
                ServerCommandNames.GET_RUN_INFO,
                ServerCommandNames.HANDLE_DEAD_JOB,
                ServerCommandNames.SHOW_STATS,
                ServerCommandNames.GET_ERRORS,
                ServerCommandNames.RESET_ERRORS,
            }
        ),
        **_GOODBYE,
    },
    (Kind.SERVER_JOB, Kind.SITE_JOB): {
        CellChannel.SERVER_COMMAND: frozenset(
            {ServerCommandNames.GET_TASK, ServerCommandNames.SUBMIT_UPDATE}
        ),
        CellChannel.AUX_COMMUNICATION: frozenset(
            {
                ReservedTopic.JOB_HEART_BEAT,
                ReservedTopic.SYNC_RUNNER,
                ReservedTopic.TASK_CHECK,
                FED_EVENT_TOPIC,
            }
        ),
        **_LARGE_OBJECTS,
    },
}
"""Receiver and sender -> what the receiver accepts of the sender; a pair that is missing exchanges nothing.

Of processes that work for a job, both work for the same one: `consilium.guard.message_rules` looks at that.
"""

STREAMING: Final = frozenset(
    {
        frozenset({Kind.SITE_JOB, Kind.SERVER_JOB}),
        frozenset({Kind.SERVER, Kind.SERVER_JOB}),
        frozenset({Kind.SITE, Kind.SITE_JOB}),
        frozenset({Kind.USER, Kind.SERVER}),
        frozenset({Kind.TRANSFER, Kind.SITE}),
        frozenset({Kind.TRANSFER, Kind.SERVER}),
    }
)
"""Who sends each other messages as streams, which the receiver acknowledges and answers by streams."""

NOT_PASSED_ON: Final = frozenset({(Kind.SERVER_JOB, Kind.SITE), (Kind.SITE_JOB, Kind.SERVER)})
"""Receiver and sender of the report that a stream of the receiver's could not be passed on to its end."""

LOG_STREAMS: Final[Mapping[tuple[Kind, Kind], Topics]] = {
    (Kind.SERVER_JOB, Kind.SITE_JOB): {CellChannel.AUX_COMMUNICATION: _FILES},
}
"""What is accepted besides where the project file lets a hospital stream its logs."""


def accepted_topics(*, log_streams: bool = False) -> Mapping[tuple[Kind, Kind], Topics]:
    """Return the table of a federation.

    Args:
        log_streams: Whether hospitals may stream their log files to the server.
    """
    if not log_streams:
        return MESSAGES
    table = {pair: dict(topics) for pair, topics in MESSAGES.items()}
    for pair, topics in LOG_STREAMS.items():
        for channel, more in topics.items():
            table[pair][channel] = table[pair].get(channel, frozenset()) | more
    return table
