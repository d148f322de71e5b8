import json
import time
from pathlib import Path

import pytest
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.lighter.utils import sign_folders
from nvflare.security.security import EmptyAuthorizer

from consilium.guard.signatures import check_signer, is_signed, verify_app
from consilium.recipes.exported_job import export_job

from .kit import LEAD, OTHER_ID, new_authority, new_user, pack, signed_app, unpack
from .signing import DAY, RECIPE, meta_of, refusal, signed_files

pytestmark = pytest.mark.usefixtures("policy")


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
        assert "says the server" in refusal(check_signer, signature, meta_of(**other))
        check_signer(signature, meta_of(cloned_from=OTHER_ID, **other))


def test_a_users_other_signatures_are_not_taken_for_a_jobs(tmp_path, lead, root_file):
    """FLARE has the key sign other texts, too: a folder's name, at login the user's name and a nonce."""
    job = export_job(RECIPE, tmp_path)
    sign_folders(str(job), lead.key, str(lead.certificate))
    other = Path(job / "app/config/.__nvfl_sig.json")
    entries = json.loads((job / "app/.__nvfl_sig.json").read_text())
    other.write_text(json.dumps(dict.fromkeys(json.loads(other.read_text()), entries["config"])))
    assert "does not hold" in refusal(verify_app, unpack(pack(job / "app")), root_file)
