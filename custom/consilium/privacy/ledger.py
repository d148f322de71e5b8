"""A site's privacy ledger: what its patients have spent, in a file that can only be appended to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout
from pydantic import ValidationError

from consilium.data.files import private_folder
from consilium.errors import RefusalCode, SiteRefusal
from consilium.privacy.ledger_entry import (
    LedgerContent,
    LedgerEntry,
    LedgerStart,
    Payment,
    Withdrawal,
    chain_hash,
    read_event,
    write_patients,
)
from consilium.privacy.ledger_file import PATIENCE_S, LedgerFile
from consilium.privacy.ledger_heads import LedgerHeads

LEDGER_FILE: Final = "privacy_ledger.sqlite"
HEADS_FILE: Final = "privacy_ledger.heads"
"""In the site's state_dir, both of them, and to be kept and restored together, with SQLite's log of the first
(its name and -wal), which is there while a job runs and after a crash."""

_LOCK_FILE: Final = "privacy_ledger.lock"

_TABLES: Final = """
CREATE TABLE entries (sequence INTEGER PRIMARY KEY, content TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE patient_sets (hash TEXT PRIMARY KEY, patients TEXT NOT NULL);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'entries stay'); END;
CREATE TRIGGER entries_are_kept BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'entries stay'); END;
CREATE TRIGGER sets_stay BEFORE UPDATE ON patient_sets BEGIN SELECT RAISE(ABORT, 'sets stay'); END;
CREATE TRIGGER sets_are_kept BEFORE DELETE ON patient_sets BEGIN SELECT RAISE(ABORT, 'sets stay'); END;
"""


class PrivacyLedger:
    """Payments of a site's patients for what jobs release about them.

    An SQLite file in which the keyed hash of every entry covers all entries before it, with a file of these
    hashes beside it (`LedgerHeads`). A payment is on the disk when `pay` returns, so a process that is killed
    in the middle of a round has paid for it, and pays again when it repeats it. The ledger is verified
    when it is opened; one that is damaged, shortened, of another site, or older than its hashes, is
    refused, and so is every job that would have to pay. An attacker who restores older copies of both files,
    or deletes both, is not found here: compare `LedgerContent.head` with a copy kept elsewhere.

    Args:
        folder: The site's state_dir.
        key: The site's secret.
    """

    def __init__(self, folder: Path, key: bytes) -> None:
        self._folder = folder
        self._key = key
        self._file = LedgerFile(folder / LEDGER_FILE)
        self._heads = LedgerHeads(folder / HEADS_FILE)
        self._verified = LedgerContent((), {})

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return self._file.path

    def read(self) -> LedgerContent:
        """Return all payments, verified; none where the site has not paid yet.

        Raises:
            SiteRefusal: If the ledger can't be trusted, read or locked.
        """
        if not self.path.exists() and not self._heads.path.exists():
            return LedgerContent((), {})  # a person who looks leaves no file behind
        with self._locked():
            if self._absent():
                return LedgerContent((), {})
            with self._file.connect() as connection:
                return self._verify(connection)

    def close(self) -> None:
        """Close the file; the next use opens and verifies it."""
        self._file.close()

    def pay(
        self, payment: Payment, allow: Callable[[LedgerContent], None] = lambda content: None
    ) -> LedgerEntry:
        """Enter a payment; it is durable when this returns.

        Args:
            payment: What is about to be released.
            allow: Called with the payments so far, while no other process can pay. What it raises is raised
                here, and nothing is entered.

        Raises:
            SiteRefusal: If the ledger can't be trusted, read, locked or written.
        """
        with self._locked():
            if self._absent():
                self._create()
            with self._file.connect() as connection:
                content = self._verify(connection)
                allow(content)
                text, patients = write_patients(payment.patients)
                entry = LedgerEntry(
                    time=_now(),
                    job=payment.job,
                    run=payment.run,
                    round_index=payment.round_index,
                    attempt=content.attempts(payment) + 1,
                    mechanisms=payment.mechanisms,
                    delta=payment.delta,
                    patients=patients,
                    unit=payment.unit,
                )
                self._enter(connection, content, entry, text)
                return entry

    def withdraw(self, patients: Collection[str]) -> None:
        """Enter patients who withdrew, unless they are entered already; what they spent remains.

        Args:
            patients: Pseudonyms of all who withdrew.

        Raises:
            SiteRefusal: If the ledger can't be trusted, read, locked or written.
        """
        if not patients:
            return
        with self._locked():
            if self._absent():
                self._create()
            with self._file.connect() as connection:
                content = self._verify(connection)
                more = set(patients) - content.withdrawn
                if more:
                    text, name = write_patients(more)
                    self._enter(connection, content, Withdrawal(time=_now(), patients=name), text)

    def _enter(
        self,
        connection: sqlite3.Connection,
        content: LedgerContent,
        entry: LedgerEntry | Withdrawal,
        patients: str,
    ) -> None:
        """Write an entry, and its set of patients where the ledger lacks it."""
        connection.execute("BEGIN IMMEDIATE")
        if entry.patients not in content.sets:
            connection.execute("INSERT INTO patient_sets VALUES (?, ?)", (entry.patients, patients))
        sequence, head = self._insert(connection, content.hashes, entry.model_dump_json())
        connection.execute("COMMIT")
        self._heads.append([(sequence, head)])

    def _absent(self) -> bool:
        """Whether nothing was ever paid here: neither file holds anything."""
        if self.path.exists():
            return False
        if heads := self._read_heads():
            raise self._refusal(f"{self.path} is missing, and {HEADS_FILE} lists {len(heads)} of its entries")
        return True

    def _create(self) -> None:
        """Begin a ledger: the file of heads first, so that a ledger without it was tampered with."""
        self._heads.create()
        self._file.create()

    def _insert(self, connection: sqlite3.Connection, hashes: Sequence[str], content: str) -> tuple[int, str]:
        sequence = len(hashes)
        head = chain_hash(self._key, hashes[-1] if hashes else "", sequence, content)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (sequence, content, head))
        return sequence, head

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Make the tables, and enter the start."""
        connection.execute("BEGIN IMMEDIATE")
        for statement in _TABLES.strip().splitlines():
            connection.execute(statement)
        sequence, head = self._insert(connection, [], LedgerStart(time=_now()).model_dump_json())
        connection.execute("COMMIT")
        self._heads.append([(sequence, head)])

    def _verify(self, connection: sqlite3.Connection) -> LedgerContent:
        """Return the payments.

        Raises:
            SiteRefusal: If anything is not as this site wrote it.
        """
        heads = self._read_heads()
        if heads is None:
            raise self._refusal(f"{self._heads.path} is missing")
        if not heads and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._begin(connection)
            heads = self._read_heads() or []
        self._file.check_integrity(connection)
        events, hashes = list(self._verified.events), list(self._verified.hashes)
        # What this object has verified before is only compared: a job opens a ledger once, and pays often.
        stored_hashes = [row[0] for row in connection.execute("SELECT hash FROM entries ORDER BY sequence")]
        if stored_hashes[: len(hashes)] != hashes:
            raise self._refusal("an entry was changed while this process ran")
        rows = connection.execute(
            "SELECT sequence, content, hash FROM entries ORDER BY sequence LIMIT -1 OFFSET ?", (len(hashes),)
        )
        for place, (sequence, content, stored) in enumerate(rows, start=len(hashes)):
            expected = chain_hash(self._key, hashes[-1] if hashes else "", place, content)
            if sequence != place or stored != expected:
                raise self._refusal(f"entry {place} is damaged, or another site's")
            hashes.append(expected)
            event = read_event(content)
            if isinstance(event, LedgerStart) != (place == 0):
                raise self._refusal(f"entry {place} is none that belongs there")
            if not isinstance(event, LedgerStart):
                events.append(event)
        self._compare(heads, hashes)
        sets = self._read_sets(connection, {one.patients for one in events})
        self._verified = LedgerContent(tuple(events), sets, tuple(hashes))
        return self._verified

    def _compare(self, heads: list[tuple[int, str]], hashes: list[str]) -> None:
        """Compare the ledger with its heads; those that a power cut lost are appended.

        Raises:
            SiteRefusal: If the ledger lacks an entry, or has another one.
        """
        if not hashes:
            raise self._refusal("it has no entry")
        for place, (sequence, head) in enumerate(heads):
            if sequence != place:
                raise self._refusal(f"line {place + 1} of {HEADS_FILE} is not of entry {place}")
            if sequence >= len(hashes):
                raise self._refusal(
                    f"it ends with entry {len(hashes) - 1}, and {HEADS_FILE} lists later ones: it is an "
                    "older copy"
                )
            if head != hashes[sequence]:
                raise self._refusal(f"entry {sequence} is another one than {HEADS_FILE} lists")
        if len(heads) < len(hashes):
            self._heads.append([(place, hashes[place]) for place in range(len(heads), len(hashes))])

    def _read_sets(self, connection: sqlite3.Connection, used: set[str]) -> dict[str, frozenset[str]]:
        sets = {}
        for stored, text in connection.execute("SELECT hash, patients FROM patient_sets"):
            if stored in self._verified.sets:
                sets[stored] = self._verified.sets[stored]
                continue
            members = json.loads(text)
            if write_patients(members) != (text, stored) or stored not in used or not members:
                raise self._refusal("a set of patients is damaged")
            sets[stored] = frozenset(members)
        if used - sets.keys():
            raise self._refusal("a set of patients is missing")
        return sets

    def _read_heads(self) -> list[tuple[int, str]] | None:
        try:
            return self._heads.read()
        except ValueError as error:
            raise self._refusal(f"{self._heads.path}: {error}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes out; whatever fails inside is a refusal: a ledger never fails open."""
        try:
            private_folder(self._folder)
            with FileLock(self._folder / _LOCK_FILE, mode=0o600, timeout=PATIENCE_S):
                yield
        except Timeout:
            raise self._refusal(f"another process has used it for more than {PATIENCE_S:.0f} s") from None
        except (sqlite3.Error, OSError, ValidationError, ValueError, TypeError, RecursionError) as error:
            raise self._refusal(f"{type(error).__name__}: {error}") from error

    def _refusal(self, problem: str) -> SiteRefusal:
        return SiteRefusal(
            "its privacy ledger can't be used; the site's log says why",
            code=RefusalCode.PRIVACY_LEDGER,
            details=[
                f"{self.path}: {problem}. Restore {LEDGER_FILE} and {HEADS_FILE} together, from their newest "
                "copy; a new ledger would forget what patients have spent."
            ],
        )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
