"""Umask and log handler that keep files of FLARE's processes private."""

from __future__ import annotations

from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import cast

from nvflare.apis.fl_component import FLComponent

from consilium.data.files import private_opener
from consilium.processes import keep_new_files_private


class PrivateFiles(FLComponent):  # type: ignore[misc]
    """Set the umask of the process that builds it to 077.

    The start scripts of a kit do so already. This covers what starts without them: the processes of a site in
    Docker and Kubernetes, where FLARE runs Python directly. A component of a site's `resources.json` is built
    in every FLARE process of the site, those of jobs included, and before anything of a job is.
    """

    def __init__(self) -> None:
        super().__init__()
        keep_new_files_private()


class PrivateLogHandler(RotatingFileHandler):
    """Write a rotating log file that only its owner can read, whatever the umask is.

    A site's logs name patients. `log_config.json` of a kit names it in place of Python's own handler, whose
    arguments it has; a log file that was open to others is closed when it is opened.
    """

    def _open(self) -> TextIOWrapper:
        file = open(  # noqa: SIM115 - the handler closes it
            self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=private_opener
        )
        return cast(TextIOWrapper, file)
