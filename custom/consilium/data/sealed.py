"""JSON files with a checksum, rejected if damaged."""

import hashlib
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from consilium.data.file_content import SHORTAGES
from consilium.data.files import write_atomically

_DIGEST_BYTES: Final = 20
_BODY_START: Final = len('{"blake2b":"') + 2 * _DIGEST_BYTES + len('","content":')

_Model = TypeVar("_Model", bound=BaseModel)


def read_sealed(path: Path, kind: type[_Model]) -> _Model | None:
    """Read a file written by `write_sealed`.

    Args:
        path: The file.
        kind: What it holds.

    Returns:
        The content; None if the file is absent, damaged or can't be read: its content is then made again.

    Raises:
        OSError: The machine has no more memory or file descriptors for now.
    """
    try:
        raw = path.read_bytes()
        body = raw[_BODY_START:-1]
        return kind.model_validate_json(body) if raw == _seal(body) else None
    except OSError as error:
        if error.errno in SHORTAGES:
            raise
        return None
    except ValidationError:  # of another version
        return None


def write_sealed(path: Path, content: BaseModel, *, durable: bool = False) -> None:
    """Write a file in one step, with a checksum.

    Args:
        path: The file; its folder exists.
        content: What it will hold.
        durable: See `write_atomically`. What is lost in a crash is noticed in either case.

    Raises:
        OSError: It can't be written.
    """
    write_atomically(path, _seal(content.model_dump_json().encode()), durable=durable)


def _seal(body: bytes) -> bytes:
    digest = hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest().encode()
    return b'{"blake2b":"' + digest + b'","content":' + body + b"}"
