import json
import time
from pathlib import Path

import pytest
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.lighter.utils import sign_folders
from nvflare.security.security import EmptyAuthorizer, FLAuthorizer

from consilium.errors import ConfigurationError
from consilium.guard import signatures
from consilium.guard.job_meta import check_deployed_meta
from consilium.guard.signatures import (
    ACCEPTED_FILE,
    JOB_DAYS,
    SignatureMemory,
    check_signer,
    is_signed,
    verify_app,
)
from consilium.provisioning.policy import authorization_policy
from consilium.recipes.catalog import build_recipe, export_job

from .kit import JOB_ID, LEAD, OTHER_ID, described, new_authority, new_user, pack, signed_app, unpack

RECIPE = build_recipe("brain_tumor_check")
DAY = 24 * 60 * 60


@pytest.fixture(scope="module")
def root():
    return new_authority()


@pytest.fixture
def root_file(root, tmp_path):
    path = tmp_path / "rootCA.pem"
    path.write_bytes(root.certificate)
    return path


@pytest.fixture(scope="module")
def lead(root, tmp_path_factory):
    return new_user(tmp_path_factory.mktemp("lead"), root, LEAD, "lead")


@pytest.fixture(autouse=True)
def policy(monkeypatch):
    authorizer = FLAuthorizer("north_hospital", authorization_policy("client"))
    monkeypatch.setattr(AuthorizationService, "the_authorizer", authorizer)


def meta_of(**more):
    return check_deployed_meta(described(RECIPE.files().meta, **more))


def signed_files(tmp_path, user):
    return unpack(signed_app(RECIPE, tmp_path / "jobs", user)[0])


def refusal(action, *arguments):
    with pytest.raises(ConfigurationError) as caught:
        action(*arguments)
    return str(caught.value)


def test_what_flares_console_signs_is_verified_with_who_signed(tmp_path, lead, root_file):
    files = signed_files(tmp_path, lead)
    assert is_signed(files)
    signature = verify_app(files, root_file)
    assert (signature.name, signature.org, signature.role) == (LEAD, "consortium", "lead")
    assert 299 < (signature.expires - time.time()) / DAY < 301
    check_signer(signature, meta_of())
    assert not is_signed(unpack(signed_app(RECIPE, tmp_path / "other", None)[0]))


def test_each_signing_is_another_signature(tmp_path, lead, root_file):
    first, second = (
        verify_app(signed_files(tmp_path / name, lead), root_file).digests for name in ("one", "two")
    )
    assert not set(first) & set(second)


@pytest.mark.parametrize("name", ["config/config_fed_client.json", "config/config_fed_server.json"])
def test_a_changed_file_breaks_the_signature(tmp_path, lead, root_file, name):
    files = signed_files(tmp_path, lead)
    files[name] += b" "
    assert "its signature does not hold (InvalidSignature)" in refusal(verify_app, files, root_file)


@pytest.mark.parametrize("folder", ["", "config/"])
@pytest.mark.parametrize("name", [".__nvfl_sig.json", ".__nvfl_submitter.crt"])
@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"[]", b"null", b'{"config": 1}', b"\xff", b"{" * 5000]
)
def test_a_signature_that_is_not_whole_does_not_count(tmp_path, lead, root_file, folder, name, content):
    files = signed_files(tmp_path, lead)
    if content is None:
        del files[folder + name]
    else:
        files[folder + name] = content
    assert refusal(verify_app, files, root_file)


@pytest.mark.parametrize("extra", [{"more.json": "AAAA"}, {"config": "AAAA"}])
def test_a_signature_that_covers_more_than_there_is_does_not_count(tmp_path, lead, root_file, extra):
    files = signed_files(tmp_path, lead)
    entries = json.loads(files["config/.__nvfl_sig.json"])
    files["config/.__nvfl_sig.json"] = json.dumps({**entries, **extra}).encode()
    assert "covers other files" in refusal(verify_app, files, root_file)


def test_a_signature_in_another_spelling_does_not_count(tmp_path, lead, root_file):
    """It would have another digest, so that the site didn't know it again."""
    files = signed_files(tmp_path, lead)
    entries = json.loads(files["config/.__nvfl_sig.json"])
    before = verify_app(files, root_file).digests
    for change in (lambda text: f"{text[:4]}\n{text[4:]}", lambda text: f"{text}!", lambda text: f" {text}"):
        spelled = {name: change(text) for name, text in entries.items()}
        files["config/.__nvfl_sig.json"] = json.dumps(spelled).encode()
        assert "does not hold" in refusal(verify_app, files, root_file)
    files["config/.__nvfl_sig.json"] = json.dumps(entries, indent=8).encode()
    assert verify_app(files, root_file).digests == before


def test_another_federations_user_or_one_whose_certificate_ran_out_does_not_count(tmp_path, root, root_file):
    stranger = new_user(tmp_path, new_authority(), LEAD, "lead")
    expired = new_user(tmp_path, root, LEAD, "lead", days=-1)
    for user in (stranger, expired):
        files = signed_files(tmp_path / user.certificate.stem, user)
        assert "does not hold (VerificationError)" in refusal(verify_app, files, root_file)


def test_two_signers_do_not_count_as_one(tmp_path, root, lead, root_file):
    other = new_user(tmp_path, root, "other@consortium.example", "lead")
    mine, theirs = signed_files(tmp_path / "mine", lead), signed_files(tmp_path / "theirs", other)
    mixed = {name: (theirs if name.startswith("config/") else mine)[name] for name in mine}
    assert "not signed with one certificate" in refusal(verify_app, mixed, root_file)


@pytest.mark.parametrize(
    ("role", "may"),
    [("lead", True), ("project_admin", True), ("org_admin", False), ("member", False), ("super", False),
     ("", False), (None, False), ("nobody_knows", False)],
)  # fmt: skip
def test_only_who_may_submit_by_the_sites_policy_counts(tmp_path, root, root_file, role, may):
    """A hospital's own certificate has no role; FLARE takes its signature like a lead's."""
    user = new_user(tmp_path, root, LEAD, role)
    signature = verify_app(signed_files(tmp_path, user), root_file)
    if may:
        check_signer(signature, meta_of())
    else:
        assert "no right to submit here" in refusal(check_signer, signature, meta_of())


@pytest.mark.parametrize("authorizer", [None, EmptyAuthorizer()])
def test_without_a_policy_nobody_counts(tmp_path, lead, root_file, monkeypatch, authorizer):
    monkeypatch.setattr(AuthorizationService, "the_authorizer", authorizer)
    signature = verify_app(signed_files(tmp_path, lead), root_file)
    assert "no right to submit here" in refusal(check_signer, signature, meta_of())


def test_the_signer_is_the_submitter_unless_the_job_is_a_copy(tmp_path, lead, root_file):
    signature = verify_app(signed_files(tmp_path, lead), root_file)
    for other in ({"submitter_name": "admin@consortium.example"}, {"submitter_org": "elsewhere"}):
        assert "the server says" in refusal(check_signer, signature, meta_of(**other))
        check_signer(signature, meta_of(cloned_from=OTHER_ID, **other))


@pytest.fixture
def accept(tmp_path, lead, root_file):
    """Accept a job's signature at a site; as often as the test wants, each time by a new process."""
    site = tmp_path / "site"
    site.mkdir()
    made = {"first": verify_app(signed_files(tmp_path / "first", lead), root_file)}

    def accept(signing="first", **more):
        if signing not in made:
            made[signing] = verify_app(signed_files(tmp_path / signing, lead), root_file)
        SignatureMemory(site).accept(made[signing], meta_of(**more))

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
    memory = SignatureMemory(accept.site)
    monkeypatch.setattr(signatures.time, "time", lambda: begin + (JOB_DAYS - 1) * DAY)
    accept()
    memory.check_start(meta_of())
    monkeypatch.setattr(signatures.time, "time", lambda: begin + (JOB_DAYS + 1) * DAY)
    assert f"more than {JOB_DAYS} days ago" in refusal(accept)
    assert f"more than {JOB_DAYS} days ago" in refusal(memory.check_start, meta_of())
    accept(job_id=OTHER_ID, resume=JOB_ID)  # how a job continues after that
    memory.check_start(meta_of(job_id=OTHER_ID, resume=JOB_ID))


def test_only_an_accepted_job_starts(accept, monkeypatch):
    memory = SignatureMemory(accept.site)
    assert "none that this site has accepted" in refusal(memory.check_start, meta_of())
    accept()
    assert "none that this site has accepted" in refusal(memory.check_start, meta_of(job_id=OTHER_ID))
    begin = time.time()
    monkeypatch.setattr(signatures.time, "time", lambda: begin + 301 * DAY)
    assert "none that this site has accepted" in refusal(memory.check_start, meta_of())


@pytest.mark.parametrize(
    "change", [{"resume": OTHER_ID}, {"min_clients": 9}, {"scope": "x"}, {"cloned_from": OTHER_ID}]
)
def test_a_job_comes_again_with_the_same_description(accept, change):
    accept()
    accept(status="DISPATCHED", schedule_count=2)
    assert "with another description" in refusal(lambda: accept(**change))
    assert "with another description" in refusal(SignatureMemory(accept.site).check_start, meta_of(**change))


def test_a_memory_of_an_earlier_release_is_read(accept):
    accept()
    path = accept.site / ACCEPTED_FILE
    jobs = json.loads(path.read_text())["jobs"]
    old = {job_id: {k: job[k] for k in ("signatures", "first", "expires")} for job_id, job in jobs.items()}
    path.write_text(json.dumps({"jobs": old}))
    SignatureMemory(accept.site).check_start(meta_of())
    accept()


def test_an_id_does_not_count_for_two_jobs(accept):
    accept()
    assert "with another signature" in refusal(lambda: accept("again"))


@pytest.mark.parametrize("key", ["cloned_from", "resume"])
def test_a_copy_and_a_resumption_name_a_job_of_the_same_signature(accept, key):
    accept()
    stranger, copy, copy_of_copy = (f"{digit * 8}-58a5-4d7b-9a0e-4d1f3c2b1a00" for digit in "123")
    assert "is no copy of that" in refusal(lambda: accept(job_id=copy, **{key: stranger}))
    accept(job_id=copy, **{key: JOB_ID})
    accept(job_id=copy_of_copy, **{key: copy})


def test_a_part_of_an_old_signature_is_enough_to_know_it(accept, monkeypatch, tmp_path, lead, root_file):
    accept()
    old, new = (verify_app(signed_files(tmp_path / name, lead), root_file) for name in ("first2", "second2"))
    SignatureMemory(accept.site).accept(old, meta_of(job_id=OTHER_ID))
    mixed = signatures.Signature(**{**vars(new), "digests": (old.digests[0], new.digests[1])})
    third = "33333333-58a5-4d7b-9a0e-4d1f3c2b1a00"
    assert "before" in refusal(SignatureMemory(accept.site).accept, mixed, meta_of(job_id=third))


def test_copies_end_some_time_after_the_first(accept, monkeypatch):
    accept()
    copies = iter(f"{number:08x}-58a5-4d7b-9a0e-4d1f3c2b1a00" for number in range(100))
    begin = time.time()
    monkeypatch.setattr(signatures.time, "time", lambda: begin + 59 * DAY)
    last = next(copies)
    accept(job_id=last, cloned_from=JOB_ID)
    monkeypatch.setattr(signatures.time, "time", lambda: begin + 61 * DAY)
    assert "more than 60 days old" in refusal(lambda: accept(job_id=next(copies), cloned_from=last))


def test_the_site_forgets_only_what_can_not_come_again(accept, monkeypatch):
    accept()
    begin = time.time()
    monkeypatch.setattr(signatures.time, "time", lambda: begin + 299 * DAY)
    assert "before" in refusal(lambda: accept(job_id=OTHER_ID))
    monkeypatch.setattr(signatures.time, "time", lambda: begin + 301 * DAY)
    accept("later", job_id=OTHER_ID)  # the certificates have run out: the first is refused by itself
    assert list(json.loads((accept.site / ACCEPTED_FILE).read_text())["jobs"]) == [OTHER_ID]


def test_a_full_memory_takes_no_other_job(accept, monkeypatch):
    monkeypatch.setattr(signatures, "MAX_JOBS", 1)
    accept()
    before = (accept.site / ACCEPTED_FILE).read_bytes()
    assert "takes no other" in refusal(lambda: accept("again", job_id=OTHER_ID))
    assert (accept.site / ACCEPTED_FILE).read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jobs": {"local": {}}}', b"\xff"])
def test_a_memory_that_can_not_be_read_refuses_all(accept, content):
    path = accept.site / ACCEPTED_FILE
    path.write_bytes(content)
    assert f"can't read its {ACCEPTED_FILE}" in refusal(accept)
    assert path.read_bytes() == content


def test_a_memory_that_can_not_be_written_refuses(accept, monkeypatch):
    def full(path, content):
        raise OSError("No space left on device")

    monkeypatch.setattr(signatures, "write_atomically", full)
    assert f"can't write its {ACCEPTED_FILE}" in refusal(accept)


def test_the_memory_is_its_owners_alone(accept):
    accept()
    assert (accept.site / ACCEPTED_FILE).stat().st_mode & 0o077 == 0


def test_a_users_other_signatures_are_not_taken_for_a_jobs(tmp_path, lead, root_file):
    """FLARE has the key sign other texts, too: a folder's name, at login the user's name and a nonce."""
    job = export_job(RECIPE, tmp_path)
    sign_folders(str(job), lead.key, str(lead.certificate))
    other = Path(job / "app/config/.__nvfl_sig.json")
    entries = json.loads((job / "app/.__nvfl_sig.json").read_text())
    other.write_text(json.dumps(dict.fromkeys(json.loads(other.read_text()), entries["config"])))
    assert "does not hold" in refusal(verify_app, unpack(pack(job / "app")), root_file)
