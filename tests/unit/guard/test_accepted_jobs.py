import json
import time

import pytest

from consilium.guard import accepted_jobs, signatures
from consilium.guard.accepted_jobs import ACCEPTED_FILE, JOB_DAYS, AcceptedJobs
from consilium.guard.signatures import verify_app

from .kit import JOB_ID, OTHER_ID
from .signing import DAY, meta_of, refusal, signed_files

pytestmark = pytest.mark.usefixtures("policy")


@pytest.fixture
def accept(tmp_path, lead, root_file):
    """Accept a job's signature at a site; as often as the test wants, each time by a new process."""
    site = tmp_path / "site"
    site.mkdir()
    made = {"first": verify_app(signed_files(tmp_path / "first", lead), root_file)}

    def accept(signing="first", **more):
        if signing not in made:
            made[signing] = verify_app(signed_files(tmp_path / signing, lead), root_file)
        AcceptedJobs(site).accept(made[signing], meta_of(**more))

    accept.site = site
    return accept


def test_an_old_signature_does_not_count_for_another_job(accept):
    accept()
    accept()  # the same job, deployed again by a server that was killed
    assert f"came with job {JOB_ID} before" in refusal(lambda: accept(job_id=OTHER_ID))
    accept("again", job_id=OTHER_ID)


def test_a_job_comes_again_and_starts_for_some_days_only(accept, monkeypatch):
    accept()
    begin = time.time()
    memory = AcceptedJobs(accept.site)
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + (JOB_DAYS - 1) * DAY)
    accept()
    memory.check_start(meta_of())
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + (JOB_DAYS + 1) * DAY)
    assert f"more than {JOB_DAYS} days ago" in refusal(accept)
    assert f"more than {JOB_DAYS} days ago" in refusal(memory.check_start, meta_of())
    accept(job_id=OTHER_ID, resume=JOB_ID)  # how a job continues after that
    memory.check_start(meta_of(job_id=OTHER_ID, resume=JOB_ID))


def test_only_an_accepted_job_starts(accept, monkeypatch):
    memory = AcceptedJobs(accept.site)
    assert "none that this site has accepted" in refusal(memory.check_start, meta_of())
    accept()
    assert "none that this site has accepted" in refusal(memory.check_start, meta_of(job_id=OTHER_ID))
    begin = time.time()
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + 301 * DAY)
    assert "none that this site has accepted" in refusal(memory.check_start, meta_of())


@pytest.mark.parametrize(
    "change", [{"resume": OTHER_ID}, {"min_clients": 9}, {"scope": "x"}, {"cloned_from": OTHER_ID}]
)
def test_a_job_comes_again_with_the_same_description(accept, change):
    accept()
    accept(status="DISPATCHED", schedule_count=2)
    assert "with another description" in refusal(lambda: accept(**change))
    assert "with another description" in refusal(AcceptedJobs(accept.site).check_start, meta_of(**change))


def test_a_memory_of_an_earlier_release_is_read(accept):
    accept()
    path = accept.site / ACCEPTED_FILE
    jobs = json.loads(path.read_text())["jobs"]
    old = {job_id: {k: job[k] for k in ("signatures", "first", "expires")} for job_id, job in jobs.items()}
    path.write_text(json.dumps({"jobs": old}))
    AcceptedJobs(accept.site).check_start(meta_of())
    accept()


def test_an_id_does_not_count_for_two_jobs(accept):
    accept()
    assert "with another signature" in refusal(lambda: accept("again"))


@pytest.mark.parametrize("key", ["cloned_from", "resume"])
def test_a_copy_and_a_resumption_name_a_job_of_the_same_signature(accept, key):
    accept()
    stranger, copy, copy_of_copy = (f"{digit * 8}-58a5-4d7b-9a0e-4d1f3c2b1a00" for digit in "123")
    assert "is not a copy of that" in refusal(lambda: accept(job_id=copy, **{key: stranger}))
    accept(job_id=copy, **{key: JOB_ID})
    accept(job_id=copy_of_copy, **{key: copy})


def test_a_part_of_an_old_signature_is_enough_to_know_it(accept, monkeypatch, tmp_path, lead, root_file):
    accept()
    old, new = (verify_app(signed_files(tmp_path / name, lead), root_file) for name in ("first2", "second2"))
    AcceptedJobs(accept.site).accept(old, meta_of(job_id=OTHER_ID))
    mixed = signatures.Signature(**{**vars(new), "digests": (old.digests[0], new.digests[1])})
    third = "33333333-58a5-4d7b-9a0e-4d1f3c2b1a00"
    assert "before" in refusal(AcceptedJobs(accept.site).accept, mixed, meta_of(job_id=third))


def test_copies_end_some_time_after_the_first(accept, monkeypatch):
    accept()
    copies = iter(f"{number:08x}-58a5-4d7b-9a0e-4d1f3c2b1a00" for number in range(100))
    begin = time.time()
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + 59 * DAY)
    last = next(copies)
    accept(job_id=last, cloned_from=JOB_ID)
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + 61 * DAY)
    assert "more than 60 days old" in refusal(lambda: accept(job_id=next(copies), cloned_from=last))


def test_the_site_forgets_only_what_can_not_come_again(accept, monkeypatch):
    accept()
    begin = time.time()
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + 299 * DAY)
    assert "before" in refusal(lambda: accept(job_id=OTHER_ID))
    monkeypatch.setattr(accepted_jobs.time, "time", lambda: begin + 301 * DAY)
    accept("later", job_id=OTHER_ID)  # the certificates have run out: the first is refused by itself
    assert list(json.loads((accept.site / ACCEPTED_FILE).read_text())["jobs"]) == [OTHER_ID]


def test_a_full_memory_takes_no_other_job(accept, monkeypatch):
    monkeypatch.setattr(accepted_jobs, "MAX_JOBS", 1)
    accept()
    before = (accept.site / ACCEPTED_FILE).read_bytes()
    assert "takes no other" in refusal(lambda: accept("again", job_id=OTHER_ID))
    assert (accept.site / ACCEPTED_FILE).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jobs": {"local": {}}}', b"\xff"])
def test_a_memory_that_can_not_be_read_rejects_all(accept, content):
    path = accept.site / ACCEPTED_FILE
    path.write_bytes(content)
    assert f"can't read its {ACCEPTED_FILE}" in refusal(accept)
    assert path.read_bytes() == content


def test_a_memory_that_can_not_be_written_rejects_all(accept, monkeypatch):
    def full(path, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(accepted_jobs, "write_atomically", full)
    assert f"can't write its {ACCEPTED_FILE}" in refusal(accept)


def test_the_memory_is_its_owners_alone(accept):
    accept()
    assert (accept.site / ACCEPTED_FILE).stat().st_mode & 0o077 == 0
