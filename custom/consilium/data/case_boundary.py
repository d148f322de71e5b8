"""Error boundary around one case: an exception becomes a finding of that case."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from consilium.data.case import CaseError
from consilium.data.codes import DataCode
from consilium.data.file_content import SHORTAGES, UnusableFile
from consilium.data.files import readable
from consilium.data.finding import Finding
from consilium.data.problem_code import ProblemCode
from consilium.errors import ConsiliumError

PASSING: Final = frozenset({DataCode.OUT_OF_RESOURCES, DataCode.PERMISSION_DENIED, DataCode.UNEXPECTED_ERROR})
"""Problems that another machine, account or version doesn't have: they are not kept with what was found."""

_logger = logging.getLogger(__name__)


@contextmanager
def case_boundary(case_id: str, subject: object, doing: str) -> Iterator[None]:
    """Turn any exception about one case into a `CaseError`.

    Everything that reads, checks, describes or prepares a case runs within one. What is wrong with a file has
    a code of its own before it arrives here; the rest is a shortage of the machine, or a fault of ours, whose
    traceback goes to the log. Errors that are raised on purpose pass.

    Args:
        case_id: Whose it is.
        subject: The file, or what else it is about, as the finding names it.
        doing: What was done to it, as in `can't be read`.

    Raises:
        CaseError: In place of whatever was raised.
    """
    try:
        yield
    except UnusableFile as error:
        raise _case_error(case_id, error.code, f"{subject} {error.detail}.") from error
    except ConsiliumError:
        raise
    except MemoryError as error:
        raise _case_error(
            case_id, DataCode.OUT_OF_RESOURCES, f"{subject} can't be {doing}: not enough memory."
        ) from error
    except OSError as error:
        code = DataCode.OUT_OF_RESOURCES if error.errno in SHORTAGES else DataCode.UNREADABLE
        raise _case_error(case_id, code, f"{subject} can't be {doing}: {error.strerror or error}.") from error
    except Exception as error:  # one case, whatever was raised, is a finding and not the end of the others
        _logger.exception("case %s: %s can't be %s", case_id, readable(subject), doing)
        detail = f"{subject} can't be {doing}: {type(error).__name__}: {error}."
        raise _case_error(case_id, DataCode.UNEXPECTED_ERROR, detail) from error


def _case_error(case_id: str, code: ProblemCode, detail: str) -> CaseError:
    return CaseError(Finding(case_id=case_id, code=code, detail=detail))
