"""Names for what is made of a case: another content of its files gives another name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from consilium.data.case import Case
from consilium.data.case_boundary import case_boundary
from consilium.data.file_content import open_file
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
    # One file holds all modalities in some layouts: read it once.
    digests = {path: _digest(path, case.id) for path in dict.fromkeys(volume.path for volume in volumes)}
    parts += [(digests[volume.path], volume.channel) for volume in volumes]
    return hashlib.blake2b(repr(parts).encode(), digest_size=KEY_BYTES).hexdigest()


def _digest(path: Path, case_id: str) -> str:
    """Hash of a file's content."""
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    with case_boundary(case_id, path, "read"), open_file(path) as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
