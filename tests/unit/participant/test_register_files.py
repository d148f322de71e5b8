"""That a site's register is private, and never silently made again."""

import os
import stat

import pytest
from filelock import FileLock, Timeout

from consilium.data.split import SetShares
from consilium.errors import DataError, SiteRefusal
from consilium.participant import register_files
from consilium.participant.register_content import KEY_FILE, REGISTER_FILE
from consilium.participant.register_files import open_register, read_register
from consilium.participant.site_settings import SiteSettings
from participant.register import answered, split, visits


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_every_site_draws_a_secret_of_its_own(site, tmp_path):
    others = [site.model_copy(update={"state_dir": tmp_path / str(number)}) for number in range(8)]
    assert len({split(one, "ABCDEFGH") for one in others}) > 1
    assert len({(one.state_dir / KEY_FILE).read_bytes() for one in others}) == 8


def test_only_the_site_s_account_may_read_it(site):
    before = os.umask(0)
    try:
        split(site, "ABC")
    finally:
        os.umask(before)
    assert mode(site.state_dir) == 0o700
    assert all(mode(path) == 0o600 for path in site.state_dir.iterdir())
    site.state_dir.chmod(0o755)
    split(site, "ABC")
    assert mode(site.state_dir) == 0o700


def test_it_names_nobody(site):
    split(site, ["Doe-Jane", "Roe-Richard"])
    answered(site, ["Doe-Jane", "Roe-Richard", "Poe-Edgar"])
    content = "".join(path.read_text(errors="replace") for path in site.state_dir.iterdir())
    assert content
    assert not any(name in content for name in ("Doe", "Roe", "Poe"))


@pytest.mark.parametrize("file", [KEY_FILE, REGISTER_FILE])
@pytest.mark.parametrize("damage", ["gone", "empty", "short", "other"])
def test_what_is_damaged_is_an_error_that_says_what_to_do(site, tmp_path, file, damage):
    split(site, "ABCDEFGH")
    path = site.state_dir / file
    whole = path.read_bytes()
    other = site.model_copy(update={"state_dir": tmp_path / "other"})
    split(other, "ABCDEFGH")
    damages = {
        "gone": path.unlink,
        "empty": lambda: path.write_bytes(b""),
        "short": lambda: path.write_bytes(whole[:-1]),
        "other": lambda: path.write_bytes((other.state_dir / file).read_bytes()),
    }
    damages[damage]()
    found = {one.name: one.read_bytes() for one in site.state_dir.iterdir()}
    for use in (lambda: split(site, "ABCDEFGH"), lambda: read_register(site)):
        with pytest.raises(
            DataError, match=f"{KEY_FILE}.*{REGISTER_FILE}|{REGISTER_FILE}.*{KEY_FILE}"
        ) as caught:
            use()
        assert "from a backup" in str(caught.value)
    assert {one.name: one.read_bytes() for one in site.state_dir.iterdir()} == found


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_no_key(site, length):
    split(site, "ABC")
    (site.state_dir / KEY_FILE).write_bytes(bytes(length))
    with pytest.raises(DataError, match=f"{KEY_FILE} holds {length} bytes instead of 32"):
        split(site, "ABC")


def test_another_salt_is_another_key(site):
    split(site.model_copy(update={"split_salt": "a"}), "ABC")
    with pytest.raises(DataError, match="another key"):
        split(site.model_copy(update={"split_salt": "b"}), "ABC")
    with pytest.raises(DataError, match=f"{KEY_FILE} is missing"):
        split(site, "ABC")


def test_a_site_may_begin_again_by_removing_both(site):
    split(site, "ABCDEFGH")
    for name in (KEY_FILE, REGISTER_FILE):
        (site.state_dir / name).unlink()
    assert len(split(site, "ABCDEFGH")) == 4


def test_what_was_answered_is_on_the_disk_whatever_happens_then(site):
    def refuse():
        with open_register(site) as register:
            register.answerable("scores", visits("ABC"), minimum=3)
            raise SiteRefusal("with a number in it")

    with pytest.raises(SiteRefusal):
        refuse()
    assert answered(site, "ABCD").held_back == 1


def test_an_answer_that_could_not_be_remembered_is_not_given(site, monkeypatch):
    answered(site, "ABC")

    def fail(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(register_files, "write_atomically", fail)
    with pytest.raises(DataError, match="No space left"):
        answered(site, "ABCDEF")


def test_looking_writes_nothing(site):
    register = read_register(site)
    assert len(register.split(visits("ABCD"), SetShares(0.5, 0)).validation) == 2
    assert not site.state_dir.exists()
    answered(site, "ABC")
    before = (site.state_dir / REGISTER_FILE).read_bytes()
    assert len(read_register(site).answerable("scores", visits("ABCDEF"), minimum=3).cases) == 6
    assert (site.state_dir / REGISTER_FILE).read_bytes() == before
    assert answered(site, "ABCD").held_back == 1


def test_a_place_that_can_t_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    site = SiteSettings(dataset=tmp_path, state_dir=tmp_path / "file" / "site_state")
    with pytest.raises(DataError, match="site_state can't be used"):
        split(site, "ABC")


def test_one_job_at_a_time_has_it_open(site):
    with open_register(site):
        (lock,) = (path for path in site.state_dir.iterdir() if path.suffix == ".lock")
        with pytest.raises(Timeout):
            FileLock(lock, timeout=0).acquire()
    FileLock(lock, timeout=0).acquire()
