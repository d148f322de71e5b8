"""A site's privacy ledger: what its patients have spent, in a file that can only be appended to."""

from __future__ import annotations

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
    CaseLinks,
    LedgerAddition,
    LedgerContent,
    LedgerEntry,
    LedgerStart,
    Payment,
    Withdrawal,
    chain_hash,
    write_patients,
)
from consilium.privacy.ledger_file import PATIENCE_S, LedgerFile
from consilium.privacy.ledger_heads import LedgerHeads
from consilium.privacy.ledger_verification import EMPTY, LedgerDamage, compare_heads, verify_entries

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
    when it is opened and after another process has written to it, and what this object added, at its next
    use. One that is damaged, shortened, of another site, or older than its hashes, is refused, and
    so is every job that would have to pay. An attacker who restores older copies of both files,
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
        self._verified = EMPTY
        self._seen: Sequence[str] = ()
        """Hashes of all entries that this object has verified or entered."""

    @property
    def path(self) -> Path:
        """The ledger's file."""
        return self._file.path

    def read(self) -> LedgerContent:
        """Return all payments, verified; none where the site has not paid yet.

        Raises:
            SiteRefusal: If the ledger can't be trusted, read or locked.
        """
        if not self._seen and not self.path.exists() and not self._heads.path.exists():
            return EMPTY  # a person who looks leaves no file behind
        with self._locked():
            if self._absent():
                return EMPTY
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
                additions: list[tuple[LedgerAddition, str]] = []
                if new := set(payment.links) - content.links:
                    links, name = write_patients(new)
                    additions.append((CaseLinks(time=_now(), patients=name), links))
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
                self._enter(connection, content, [*additions, (entry, text)])
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
                    self._enter(connection, content, [(Withdrawal(time=_now(), patients=name), text)])

    def _enter(
        self,
        connection: sqlite3.Connection,
        content: LedgerContent,
        additions: Sequence[tuple[LedgerAddition, str]],
    ) -> None:
        """Write entries together, each with its set of patients where the ledger lacks it."""
        hashes, known = list(content.hashes), set(content.sets)
        connection.execute("BEGIN IMMEDIATE")
        for entry, patients in additions:
            if entry.patients not in known:
                connection.execute("INSERT INTO patient_sets VALUES (?, ?)", (entry.patients, patients))
                known.add(entry.patients)
            hashes.append(self._insert(connection, hashes, entry.model_dump_json())[1])
        connection.execute("COMMIT")
        self._seen = tuple(hashes)
        self._heads.append(len(content.hashes), hashes[len(content.hashes) :])

    def _absent(self) -> bool:
        """Whether nothing was ever paid here: neither file holds anything."""
        if self.path.exists():
            return False
        if heads := self._read_heads():
            raise self._refusal(f"{self.path} is missing, and {HEADS_FILE} lists {len(heads)} of its entries")
        if self._seen:
            raise self._refusal(f"{self.path} was removed while this process ran")
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
        self._heads.append(sequence, [head])

    def _verify(self, connection: sqlite3.Connection) -> LedgerContent:
        """Return the payments.

        Raises:
            SiteRefusal: If a file is missing or damaged.
            LedgerDamage: If anything is not as this site wrote it.
        """
        heads = self._read_heads()
        if heads is None:
            raise self._refusal(f"{self._heads.path} is missing")
        if not heads and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._begin(connection)
            heads = self._read_heads() or []
        # A job opens a ledger once and pays often: as long as nobody else writes, what was verified stays so.
        known = self._verified if self._file.is_unchanged(connection) else EMPTY
        content = verify_entries(connection, self._key, known)
        if content.hashes[: len(self._seen)] != self._seen:
            raise LedgerDamage("its entries were replaced while this process ran")
        compare_heads(heads, content.hashes)
        if len(heads) < len(content.hashes):  # a power cut lost them
            self._heads.append(len(heads), content.hashes[len(heads) :])
        self._verified, self._seen = content, content.hashes
        return content

    def _read_heads(self) -> list[str] | None:
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
        except LedgerDamage as damage:
            raise self._refusal(str(damage)) from None
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
