"""Verification of a ledger's entries: that they are as the site wrote them, and all there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from consilium.privacy.ledger_entry import (
    LedgerContent,
    LedgerStart,
    chain_hash,
    read_event,
    write_patients,
)

EMPTY: Final = LedgerContent((), {})


class LedgerDamage(Exception):
    """Something in a ledger is not as its site wrote it; the message says what."""


def verify_entries(connection: sqlite3.Connection, key: bytes, known: LedgerContent = EMPTY) -> LedgerContent:
    """Return all that a ledger holds, verified.

    Args:
        connection: The open file.
        key: The site's secret.
        known: What was verified before, which is taken as it is: only later entries are read. That is right
            only if nobody else has written since.

    Raises:
        LedgerDamage: An entry or a set of patients is damaged or missing, or doesn't belong there.
        ValueError: An entry is none.
    """
    events, hashes = list(known.events), list(known.hashes)
    for sequence, content, stored in _read_entries(connection, len(hashes)):
        place = len(hashes)
        expected = chain_hash(key, hashes[-1] if hashes else "", place, content)
        if sequence != place or stored != expected:
            raise LedgerDamage(f"entry {place} is damaged, or another site's")
        hashes.append(expected)
        event = read_event(content)
        if isinstance(event, LedgerStart) != (place == 0):
            raise LedgerDamage(f"entry {place} is none that belongs there")
        if not isinstance(event, LedgerStart):
            events.append(event)
    if not hashes:
        raise LedgerDamage("it has no entry")
    used = {one.patients for one in events}
    if known.hashes:
        added = used - known.sets.keys()
        sets = {**known.sets, **_verify_sets(_read_sets(connection, added), added)}
    else:
        sets = _verify_sets(connection.execute("SELECT hash, patients FROM patient_sets"), used)
    return LedgerContent(tuple(events), sets, tuple(hashes))


def compare_heads(heads: Sequence[str], hashes: Sequence[str]) -> None:
    """Compare a ledger's entries with the heads beside it, which may be fewer.

    Args:
        heads: Hashes of entries, from the first on, as the file of heads has them.
        hashes: Those of the verified entries.

    Raises:
        LedgerDamage: The ledger lacks an entry, or has another one.
    """
    common = min(len(heads), len(hashes))
    if list(heads[:common]) != list(hashes[:common]):
        place = next(number for number in range(common) if heads[number] != hashes[number])
        raise LedgerDamage(f"entry {place} is another one than the file of heads lists")
    if len(heads) > len(hashes):
        raise LedgerDamage(
            f"it ends with entry {len(hashes) - 1}, and the file of heads lists later ones: it is an older "
            "copy"
        )


def _read_entries(connection: sqlite3.Connection, first: int) -> Iterable[tuple[int, str, str]]:
    """Number, content and hash of the entries from one on; from 0, of all that there are."""
    if not first:
        return connection.execute("SELECT sequence, content, hash FROM entries ORDER BY sequence")
    return connection.execute(
        "SELECT sequence, content, hash FROM entries WHERE sequence >= ? ORDER BY sequence", (first,)
    )


def _read_sets(connection: sqlite3.Connection, names: Collection[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        yield from connection.execute("SELECT hash, patients FROM patient_sets WHERE hash = ?", (name,))


def _verify_sets(rows: Iterable[tuple[str, str]], used: Collection[str]) -> dict[str, frozenset[str]]:
    """Sets of patients by hash: exactly the used ones."""
    sets = {}
    for stored, text in rows:
        members = json.loads(text)
        if write_patients(members) != (text, stored) or stored not in used or not members:
            raise LedgerDamage("a set of patients is damaged")
        sets[stored] = frozenset(members)
    if set(used) - sets.keys():
        raise LedgerDamage("a set of patients is missing")
    return sets
