"""Names for what is made of a case: another content of its files gives another name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consilium.data.case import Case, CaseError, CaseProblem, ProblemCode
from consilium.data.labels import LabelConvention

KEY_BYTES: Final = 20
"""Of a key; two hexadecimal digits each."""

_BLOCK_BYTES = 1 << 20


def source_key(
    case: Case, convention: LabelConvention | None, modalities: Sequence[str], made_by: tuple[object, ...]
) -> str:
    """Name what is made of a case: a hash of all that its content follows from.

    Args:
        case: The case.
        convention: What its label's values mean.
        modalities: The images that are used.
        made_by: Versions and settings of what makes it.

    Returns:
        40 hexadecimal digits; another content of a file gives others.

    Raises:
        CaseError: A file can't be read.
    """
    parts: list[object] = [*made_by]
    volumes = [case.images[name] for name in modalities]
    if case.label is not None:
        parts.append(convention and convention.value)
        volumes.append(case.label)
    try:
        # One file holds all modalities in some layouts: read it once.
        digests = {path: _digest(path) for path in dict.fromkeys(volume.path for volume in volumes)}
    except PermissionError as error:
        raise _unreadable(case, ProblemCode.PERMISSION_DENIED, error) from error
    except OSError as error:
        raise _unreadable(case, ProblemCode.UNREADABLE, error) from error
    parts += [(digests[volume.path], volume.channel) for volume in volumes]
    return hashlib.blake2b(repr(parts).encode(), digest_size=KEY_BYTES).hexdigest()


def _digest(path: Path) -> str:
    """Hash of a file's content."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _unreadable(case: Case, code: ProblemCode, error: OSError) -> CaseError:
    return CaseError(CaseProblem(case.id, code, f"{error.filename} can't be read: {error.strerror}."))
