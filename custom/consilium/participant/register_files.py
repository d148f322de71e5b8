"""Files of a site's patient register in `state_dir`: the secret key and the decisions."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from consilium.counts import counted
from consilium.data.files import private_folder, write_atomically
from consilium.errors import DataError
from consilium.participant.patient_register import PatientRegister
from consilium.participant.register_content import KEY_FILE, REGISTER_FILE, restore_remedy
from consilium.participant.site_settings import SiteSettings

_LOCK_FILE = "register.lock"
_KEY_BYTES = 32


@contextmanager
def open_register(
    site: SiteSettings, examinations: Mapping[str, str] | None = None
) -> Iterator[PatientRegister]:
    """Open a site's register; decisions are saved when the context ends, even on errors.

    One process at a time has it open, so two jobs that start together decide the same.

    Args:
        site: Says where the register lies.
        examinations: See `PatientRegister`.

    Raises:
        DataError: If it can't be read or written, or is damaged. It is never made again by itself: the site
            would then answer the same question about other patients.
    """
    folder = site.state_dir
    try:
        private_folder(folder)
        with FileLock(folder / _LOCK_FILE, mode=0o600):
            register = _load(site, examinations) or _begin(site, examinations)
            before = register.to_json()
            try:
                yield register
            finally:
                if (decided := register.to_json()) != before:
                    write_atomically(folder / REGISTER_FILE, decided.encode())
    except OSError as error:
        raise DataError(
            f"The site's register of patients in {folder} can't be used ({error}): let the account that runs "
            "FLARE read and write it, and make room on its disk."
        ) from error


def read_register(site: SiteSettings, examinations: Mapping[str, str] | None = None) -> PatientRegister:
    """Return a copy of a site's register for previewing decisions; nothing is written.

    Raises:
        DataError: If it can't be read, or is damaged.
    """
    try:
        return _load(site, examinations) or _new_register(site, secrets.token_bytes(_KEY_BYTES), examinations)
    except OSError as error:
        raise DataError(
            f"The site's register of patients in {site.state_dir} can't be read ({error}): repeat this from "
            "the account that runs FLARE."
        ) from error


def _load(site: SiteSettings, examinations: Mapping[str, str] | None) -> PatientRegister | None:
    """Return the register that a site has, None if it has none yet."""
    path = site.state_dir / REGISTER_FILE
    key, content = _find_key(site), _read(path)
    if content is None and (key is None or site.split_salt is not None):
        return None
    if content is None or key is None:
        missing, other = (REGISTER_FILE, KEY_FILE) if content is None else (KEY_FILE, REGISTER_FILE)
        raise DataError(
            f"{path.with_name(missing)} is missing, and {other} is there. {restore_remedy(missing)}"
        )
    return PatientRegister(
        key, content, source=path, examinations=examinations, repeats=site.split_salt is not None
    )


def _begin(site: SiteSettings, examinations: Mapping[str, str] | None) -> PatientRegister:
    """Make a register, with a key of its own; without both of its files, the next job is declined."""
    key = _find_key(site) or _make_key(site.state_dir / KEY_FILE)
    register = _new_register(site, key, examinations)
    write_atomically(site.state_dir / REGISTER_FILE, register.to_json().encode())
    return register


def _new_register(site: SiteSettings, key: bytes, examinations: Mapping[str, str] | None) -> PatientRegister:
    return PatientRegister(key, examinations=examinations, repeats=site.split_salt is not None)


def _find_key(site: SiteSettings) -> bytes | None:
    if site.split_salt is not None:
        return site.split_salt.encode()
    path = site.state_dir / KEY_FILE
    key = _read(path)
    if key is not None and len(key) != _KEY_BYTES:
        raise DataError(
            f"{path} holds {counted(len(key), 'byte')} instead of {_KEY_BYTES}. {restore_remedy(KEY_FILE)}"
        )
    return key


def _make_key(path: Path) -> bytes:
    """Draw the secret and write it down, where none is.

    Raises:
        FileExistsError: If somebody else has just done so.
    """
    key = secrets.token_bytes(_KEY_BYTES)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
