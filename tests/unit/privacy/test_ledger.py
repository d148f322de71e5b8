import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.errors import RefusalCode, SiteRefusal
from consilium.privacy.ledger import HEADS_FILE, LEDGER_FILE
from consilium.privacy.ledger_entry import LedgerContent, read_event
from consilium.privacy.ledger_heads import LedgerHeads
from privacy.ledgers import KEY, ROUND, ledger, payment

BOTH = (LEDGER_FILE, HEADS_FILE)
LOG_FILE = f"{LEDGER_FILE}-wal"

PAY = f"""
import sys
from pathlib import Path
from consilium.privacy.ledger import PrivacyLedger
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian
ledger = PrivacyLedger(Path(sys.argv[1]), {KEY!r})
for number in range(int(sys.argv[3])):
    mechanism = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=40)
    ledger.pay(Payment(sys.argv[2], sys.argv[2], number, (mechanism,), 1e-3, [f"p{{number}}", "q"]))
    print(number, flush=True)
"""


@pytest.fixture
def paid(tmp_path):
    for round_index in range(3):
        ledger(tmp_path).pay(payment(round_index))
    return tmp_path


def pay_elsewhere(folder: Path, job: str, rounds: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PAY, str(folder), job, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


class Refused(Exception):
    """What a damaged ledger is answered with, and nothing else."""


def read(folder: Path) -> LedgerContent:
    try:
        return ledger(folder).read()
    except SiteRefusal as refusal:
        if refusal.code is not RefusalCode.PRIVACY_LEDGER:
            raise
        raise Refused from None


def refuses(folder: Path, problem: str, key: bytes = KEY) -> None:
    """Reading and paying are refused, and nothing of it leaves the site."""
    for use in (ledger(folder, key).read, lambda: ledger(folder, key).pay(payment(9))):
        with pytest.raises(SiteRefusal, match=problem) as refused:
            use()
        assert refused.value.code is RefusalCode.PRIVACY_LEDGER
        assert str(folder) not in refused.value.public_reason


def test_what_was_paid_is_there_in_its_order(paid):
    content = ledger(paid).read()
    assert [entry.round_index for entry in content.entries] == [0, 1, 2]
    assert {entry.mechanisms for entry in content.entries} == {(ROUND,)}
    assert [content.sets[entry.patients] for entry in content.entries] == [frozenset("abc")] * 3


def test_withdrawals_are_entries_of_the_chain(paid):
    one = ledger(paid)
    one.withdraw(["a"])
    one.pay(payment(3))
    content = ledger(paid).read()
    assert content.withdrawn == {"a"}
    assert [type(event).__name__ for event in content.events][-2:] == ["Withdrawal", "LedgerEntry"]
    one.close()
    tamper(
        paid, "UPDATE entries SET content = replace(content, 'withdrawal', 'withdrawn') WHERE sequence = 4"
    )
    refuses(paid, "entry 4 is damaged")


def test_a_site_that_has_not_paid_has_an_empty_ledger_and_no_file(tmp_path):
    assert ledger(tmp_path).read().entries == ()
    assert not (tmp_path / LEDGER_FILE).exists()


def test_a_round_that_is_repeated_pays_again_with_the_next_attempt(tmp_path):
    one = ledger(tmp_path)
    attempts = [one.pay(payment(number)).attempt for number in (0, 0, 1, 0)]
    assert attempts == [1, 2, 1, 3]
    assert one.pay(payment(0, job="job-2")).attempt == 1
    assert len(one.read().entries) == 5


def test_the_files_are_their_owners_only(paid):
    open_ledger = ledger(paid)
    open_ledger.pay(payment(3))
    files = {path.name: path.stat().st_mode & 0o777 for path in paid.glob("privacy_ledger*")}
    assert {*BOTH, LOG_FILE} <= files.keys()
    assert set(files.values()) == {0o600}


def copy_of_what_is_on_the_disk(folder: Path, into: Path, *left_out: str) -> Path:
    """What a power cut leaves, or a backup takes, while a job runs."""
    for path in folder.glob("privacy_ledger*"):
        if path.name not in left_out and not path.name.endswith(("-shm", ".lock")):
            shutil.copy(path, into)
    return into


def test_a_payment_is_on_the_disk_while_the_ledger_stays_open(paid, tmp_path_factory):
    one = ledger(paid)
    for round_index in range(3, 8):
        one.pay(payment(round_index))
        copy = copy_of_what_is_on_the_disk(paid, tmp_path_factory.mktemp("copy"))
        assert read(copy) == ledger(paid).read()
        assert read(copy).entries[-1].round_index == round_index


def test_a_copy_without_the_log_is_an_older_one_and_refused(paid, tmp_path_factory):
    one = ledger(paid)
    one.pay(payment(3))
    refuses(copy_of_what_is_on_the_disk(paid, tmp_path_factory.mktemp("copy"), LOG_FILE), "an older copy")


def test_a_commit_waits_for_the_disk(tmp_path, monkeypatch):
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *a, **o: opened.append(connect(*a, **o)) or opened[-1])
    one = ledger(tmp_path)
    one.pay(payment(0))
    one.pay(payment(1))
    (connection,) = opened  # closing moves the log, and waits for more
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone()[0] >= 2
    one.close()
    assert not (tmp_path / LOG_FILE).exists()
    assert one.pay(payment(2)).attempt == 1


def test_a_file_that_is_put_in_the_place_of_the_open_one_is_found(paid):
    one = ledger(paid)
    one.pay(payment(3))
    shutil.copy(paid / LEDGER_FILE, paid / "other")
    (paid / "other").replace(paid / LEDGER_FILE)
    with pytest.raises(SiteRefusal) as refused:
        one.pay(payment(4))
    assert refused.value.code is RefusalCode.PRIVACY_LEDGER
    assert "replaced by another file" in str(refused.value)


def test_a_payment_that_is_refused_leaves_the_ledger_usable(paid):
    one = ledger(paid)

    def forbid(content):
        raise SiteRefusal("no", code=RefusalCode.DECLINED)

    with pytest.raises(SiteRefusal, match="no"):
        one.pay(payment(3), forbid)
    assert one.pay(payment(3)).attempt == 1
    assert len(ledger(paid).read().entries) == 4


def test_the_same_patients_are_stored_once(tmp_path):
    patients = [f"{number:032x}" for number in range(2000)]
    for number in range(20):
        ledger(tmp_path).pay(payment(number, *patients))
    assert (tmp_path / LEDGER_FILE).stat().st_size < 3 * 35 * len(patients)


def test_a_payment_that_is_not_allowed_is_not_entered(paid):
    def forbid(content):
        raise SiteRefusal("no", code=RefusalCode.DECLINED)

    before = ledger(paid).read()
    with pytest.raises(SiteRefusal, match="no"):
        ledger(paid).pay(payment(3), forbid)
    assert ledger(paid).read() == before


def test_entries_can_be_neither_changed_nor_deleted_by_a_query(paid):
    with sqlite3.connect(paid / LEDGER_FILE) as connection:
        for query in (
            "UPDATE entries SET content = ''",
            "DELETE FROM entries",
            "UPDATE patient_sets SET patients = ''",
            "DELETE FROM patient_sets",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="stay"):
                connection.execute(query)
    assert len(ledger(paid).read().entries) == 3


def tamper(folder: Path, query: str) -> None:
    with sqlite3.connect(folder / LEDGER_FILE) as connection:
        for trigger in ("entries_stay", "entries_are_kept", "sets_stay", "sets_are_kept"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(query)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("UPDATE entries SET content = replace(content, '40', '4') WHERE sequence = 2", "entry 2 is damaged"),
        (
            "UPDATE entries SET content = replace(content, '\"steps\":40', '\"steps\":4')",
            "entry 1 is damaged",
        ),
        ("DELETE FROM entries WHERE sequence = 1", "entry 1 is damaged"),
        ("DELETE FROM entries WHERE sequence = 3", "an older copy"),
        ("DELETE FROM entries", "no entry"),
        ("INSERT INTO entries SELECT 4, content, hash FROM entries WHERE sequence = 3", "entry 4 is damaged"),
        ("UPDATE entries SET sequence = 7 WHERE sequence = 3", "entry 3 is damaged"),
        ('UPDATE patient_sets SET patients = \'["a","b"]\'', "set of patients is damaged"),
        ("DELETE FROM patient_sets", "set of patients is missing"),
        ("INSERT INTO patient_sets VALUES ('x', '[\"a\"]')", "set of patients is damaged"),
        ("UPDATE entries SET content = CAST(content AS BLOB)", "damaged"),
        ("DROP TABLE entries", "no such table"),
        ("DROP TABLE patient_sets", "no such table"),
    ],
)
def test_a_change_is_found(paid, query, problem):
    tamper(paid, query)
    refuses(paid, problem)


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE entries SET hash = replace(hash, 'a', 'b') WHERE sequence = 1",
        "DELETE FROM entries WHERE sequence = 3",
        "DELETE FROM entries WHERE sequence = 1",
    ],
)
def test_a_change_while_a_job_runs_is_found_at_its_next_payment(paid, query):
    one = ledger(paid)
    one.pay(payment(3))
    tamper(paid, query)
    with pytest.raises(SiteRefusal) as refused:
        one.pay(payment(4))
    assert refused.value.code is RefusalCode.PRIVACY_LEDGER


@settings(max_examples=examples(60))
@given(st.data())
def test_no_byte_can_change_what_was_paid(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("ledger")
    for round_index in range(2):
        ledger(folder).pay(payment(round_index))
    before = ledger(folder).read()
    path = folder / data.draw(st.sampled_from(BOTH))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with suppress(Refused):  # what is accepted all the same changed unused space of the file
        assert read(folder) == before


@settings(max_examples=examples(30))
@given(st.data())
def test_a_ledger_that_is_cut_anywhere_is_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("ledger")
    ledger(folder).pay(payment())
    path = folder / LEDGER_FILE
    os.truncate(path, data.draw(st.integers(0, path.stat().st_size - 1)))
    with pytest.raises(Refused):
        read(folder)


def test_another_sites_ledger_is_refused(paid):
    refuses(paid, "another site's", key=b"south" * 6)


@pytest.mark.parametrize("lost", BOTH)
def test_a_ledger_that_lacks_one_of_its_files_is_refused(paid, lost):
    (paid / lost).unlink()
    refuses(paid, f"{lost} is missing")


def test_an_older_copy_of_the_ledger_is_refused(paid, tmp_path_factory):
    copies = tmp_path_factory.mktemp("copies")
    shutil.copy(paid / LEDGER_FILE, copies)
    ledger(paid).pay(payment(3))
    shutil.copy(copies / LEDGER_FILE, paid)
    refuses(paid, "an older copy")


def test_an_older_copy_that_pays_other_rounds_is_refused(paid, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for name in BOTH:
        shutil.copy(paid / name, other)
    ledger(paid).pay(payment(3))
    ledger(other).pay(payment(7))
    shutil.copy(other / LEDGER_FILE, paid)
    refuses(paid, "entry 4 is another one")


def test_the_heads_that_a_power_cut_lost_are_written_again(paid):
    path = paid / HEADS_FILE
    before = path.read_bytes()
    path.write_bytes(before[:-30])
    content = ledger(paid).read()
    assert len(content.entries) == 3
    assert path.read_bytes() == before
    assert ledger(paid).pay(payment(3)).round_index == 3
    assert path.read_bytes().startswith(before)


@pytest.mark.parametrize("damage", [b"x", b"1 00\n", b"9 " + b"0" * 64 + b"\n"])
def test_heads_that_are_none_are_refused(paid, damage):
    path = paid / HEADS_FILE
    path.write_bytes(damage + path.read_bytes())
    refuses(paid, HEADS_FILE)


def test_a_process_that_ended_before_its_first_entry_left_an_empty_ledger(tmp_path):
    (tmp_path / HEADS_FILE).touch()
    assert ledger(tmp_path).read().entries == ()
    (tmp_path / LEDGER_FILE).touch()
    assert ledger(tmp_path).read().entries == ()
    assert ledger(tmp_path).pay(payment()).attempt == 1


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("rounds", [1, 2, 5, 9])
def test_what_was_paid_before_a_kill_is_paid(tmp_path, rounds):
    with pay_elsewhere(tmp_path, "job-1", 10_000) as process:
        assert process.stdout is not None
        for _ in range(rounds):
            done = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    entries = ledger(tmp_path).read().entries
    assert [entry.round_index for entry in entries] == list(range(len(entries)))
    assert len(entries) > done
    assert ledger(tmp_path).pay(payment(done)).attempt == 2


def test_two_processes_that_pay_at_once_lose_nothing(tmp_path):
    rounds = 15
    processes = [pay_elsewhere(tmp_path, job, rounds) for job in ("one", "two")]
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    entries = ledger(tmp_path).read().entries
    assert [entry.round_index for entry in entries if entry.job == "one"] == list(range(rounds))
    assert [entry.round_index for entry in entries if entry.job == "two"] == list(range(rounds))
    assert len((tmp_path / HEADS_FILE).read_text().splitlines()) == 2 * rounds + 1


def test_a_ledger_that_another_process_keeps_is_not_waited_for_without_end(paid, monkeypatch):
    from filelock import FileLock

    monkeypatch.setattr("consilium.privacy.ledger.PATIENCE_S", 0.01)
    with FileLock(paid / "privacy_ledger.lock"):
        refuses(paid, "another process has used it")


def test_a_full_disk_pays_for_nothing_that_is_trained_and_loses_nothing(paid, monkeypatch):
    """Each write fails in turn, as on a full disk: a payment is refused, or it is there."""
    one = ledger(paid)
    one.pay(payment(3))
    with sqlite3.connect(paid / LEDGER_FILE) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connect = sqlite3.connect

    def full(*args, **kwargs):
        opened = connect(*args, **kwargs)
        opened.execute(f"PRAGMA max_page_count = {pages}")
        return opened

    one.close()
    monkeypatch.setattr("sqlite3.connect", full)
    refused, paid_rounds = [], 0
    for round_index in range(4, 60):
        try:
            one.pay(payment(round_index, f"p{round_index}"))
            paid_rounds += 1
        except SiteRefusal as refusal:
            refused.append((refusal.code, "database or disk is full" in str(refusal)))
    assert set(refused) == {(RefusalCode.PRIVACY_LEDGER, True)}
    monkeypatch.undo()
    assert len(ledger(paid).read().entries) == 4 + paid_rounds


def test_a_full_disk_for_the_heads_alone_leaves_a_ledger_that_counts_the_payment(paid, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.pwrite", full)
        with pytest.raises(SiteRefusal, match="No space left") as refused:
            ledger(paid).pay(payment(3))
    assert refused.value.code is RefusalCode.PRIVACY_LEDGER
    assert ledger(paid).pay(payment(3)).attempt == 2
    assert len((paid / HEADS_FILE).read_text().splitlines()) == 6


def test_a_clock_that_is_set_back_changes_nothing(paid, monkeypatch):
    monkeypatch.setattr("consilium.privacy.ledger._now", lambda: "1999-01-01T00:00:00+00:00")
    one = ledger(paid)
    assert one.pay(payment(0)).attempt == 2
    assert [entry.round_index for entry in ledger(paid).read().entries] == [0, 1, 2, 0]


def test_a_folder_that_can_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SiteRefusal, match=r"FileExistsError|NotADirectoryError") as refused:
        ledger(tmp_path / "file").pay(payment())
    assert refused.value.code is RefusalCode.PRIVACY_LEDGER


def test_a_payment_reads_only_what_was_entered_since_the_last_one(paid, monkeypatch):
    one = ledger(paid)
    one.pay(payment(3))
    read_entries = []
    monkeypatch.setattr(
        "consilium.privacy.ledger_verification.read_event",
        lambda text: read_entries.append(text) or read_event(text),
    )
    for round_index in (4, 5):
        one.pay(payment(round_index))
    assert len(read_entries) == 2
    assert one.read() == ledger(paid).read()


def test_what_another_process_pays_in_between_is_read_and_verified(paid):
    one, other = ledger(paid), ledger(paid)
    for round_index in range(3, 7):
        one.pay(payment(round_index, "a", "b"))
        other.pay(payment(round_index, f"p{round_index}", job="job-2"))
    content = ledger(paid).read()
    assert one.read() == other.read() == content
    assert len(content.entries) == 11


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("UPDATE entries SET content = replace(content, '40', '4') WHERE sequence = 1", "entry 1 is damaged"),
        ("UPDATE patient_sets SET patients = '[\"a\"]'", "set of patients is damaged"),
        ("INSERT INTO patient_sets VALUES ('x', '[\"a\"]')", "set of patients is damaged"),
        ("INSERT INTO entries VALUES (-1, '{}', 'x')", "entry 0 is damaged"),
        ("DELETE FROM patient_sets", "set of patients is missing"),
        ("DROP TABLE entries", "no such table"),
    ],
)
def test_what_was_verified_before_is_verified_again_once_somebody_else_has_written(paid, query, problem):
    one = ledger(paid)
    one.pay(payment(3))
    tamper(paid, query)
    with pytest.raises(SiteRefusal, match=problem):
        one.pay(payment(4))


@pytest.mark.parametrize("name", [LEDGER_FILE, LOG_FILE])
def test_bytes_that_are_overwritten_in_an_open_ledger_are_found_at_the_next_payment(paid, name):
    """Past SQLite, which would use what it remembers of the file."""
    one = ledger(paid)
    for round_index in range(3, 40):  # more than the one page that the log has
        one.pay(payment(round_index))
    one.close()
    one.pay(payment(40))
    path = paid / name
    content = path.read_bytes()
    changed = content.replace(b'"steps":40', b'"steps":10')
    assert changed != content
    later_than(path, path.stat().st_ctime_ns)
    with path.open("r+b") as file:
        file.write(changed)
    for use in (lambda: one.pay(payment(41)), ledger(paid).read):
        with pytest.raises(SiteRefusal, match="is damaged") as refused:
            use()
        assert refused.value.code is RefusalCode.PRIVACY_LEDGER


def later_than(path: Path, time_ns: int) -> None:
    """Wait for the file system's clock to tick."""
    probe = path.with_name("probe")
    while True:
        probe.touch()
        if probe.stat().st_ctime_ns > time_ns:
            return


def test_a_ledger_removed_while_a_job_runs_is_refused_and_not_replaced(paid):
    """A new one would be a fresh budget for the next process."""
    one = ledger(paid)
    one.pay(payment(3))
    for path in paid.glob(f"{Path(LEDGER_FILE).stem}*"):
        path.unlink()
    (paid / HEADS_FILE).unlink(missing_ok=True)
    for use in (one.read, lambda: one.pay(payment(4)), lambda: one.withdraw(["p"])):
        with pytest.raises(SiteRefusal, match="was removed while this process ran"):
            use()
    assert not any((paid / name).exists() for name in BOTH)


def test_a_rollback_of_both_files_while_a_job_runs_is_found(paid):
    """Entries and heads fit together, so only who has seen the later ones knows of them."""
    one = ledger(paid)
    heads = (paid / HEADS_FILE).read_bytes()
    one.pay(payment(3))
    tamper(paid, "DELETE FROM entries WHERE sequence = 4")
    (paid / HEADS_FILE).write_bytes(heads)
    with pytest.raises(SiteRefusal, match="replaced while this process ran"):
        one.pay(payment(4))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [lines[0], lines[1][:-1] + b"x", *lines[2:]], "line 2 is damaged"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 is not of entry 0"),
        (lambda lines: [*lines[:2], b"2 " + b"0" * 64, *lines[3:]], "entry 2 is another one"),
        (lambda lines: [*lines, b"5 " + b"0" * 64], "an older copy"),
    ],
)
def test_heads_that_are_rewritten_while_a_job_runs_are_refused(paid, change, problem):
    one = ledger(paid)
    one.pay(payment(3))
    path = paid / HEADS_FILE
    path.write_bytes(b"".join(line + b"\n" for line in change(path.read_bytes().splitlines())))
    with pytest.raises(SiteRefusal, match=problem) as refused:
        one.pay(payment(4))
    assert refused.value.code is RefusalCode.PRIVACY_LEDGER


def test_heads_that_are_lost_while_a_job_runs_are_written_again_or_refused(paid):
    one = ledger(paid)
    one.pay(payment(3))
    path = paid / HEADS_FILE
    before = path.read_bytes()
    path.write_bytes(before[:100])
    one.pay(payment(4))
    assert path.read_bytes().startswith(before)
    path.unlink()
    with pytest.raises(SiteRefusal, match="is missing"):
        one.pay(payment(5))


def test_heads_that_end_in_something_else_are_not_appended_to(tmp_path):
    heads = LedgerHeads(tmp_path / HEADS_FILE)
    heads.path.write_bytes(b"x" * 1000)
    with pytest.raises(OSError, match="does not end with a line"):
        heads.append(0, ["0" * 64])
    assert heads.path.read_bytes() == b"x" * 1000
