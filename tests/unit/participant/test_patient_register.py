"""What a site remembers of its patients, and that it is never silently made again."""

import os
import stat
from dataclasses import dataclass

import numpy as np
import pytest
from filelock import FileLock, Timeout

from consilium.errors import DataError, SiteRefusal
from consilium.participant import patient_register
from consilium.participant.patient_register import (
    KEY_FILE,
    REGISTER_FILE,
    PatientRegister,
    open_register,
    read_register,
)
from consilium.participant.settings import SiteSettings


@dataclass(frozen=True)
class Visit:
    id: str
    patient: str


def visits(patients):
    return [Visit(f"{patient}-1", patient) for patient in patients]


@pytest.fixture
def site(tmp_path):
    return SiteSettings(dataset=tmp_path / "data", state_dir=tmp_path / "kit" / "site_state")


def split(site, patients):
    with open_register(site) as register:
        return register.split(visits(patients), validation_fraction=0.5).validation


def answered(site, patients, question="scores", **options):
    with open_register(site) as register:
        return register.answerable(question, visits(patients), **{"minimum": 3, **options})


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_split_is_remembered(site):
    assert split(site, "ABCDEFGH") == split(site, "ABCDEFGH")
    assert len(split(site, "ABCDEFGH")) == 4


def test_every_site_draws_a_secret_of_its_own(site, tmp_path):
    others = [site.model_copy(update={"state_dir": tmp_path / str(number)}) for number in range(8)]
    assert len({split(one, "ABCDEFGH") for one in others}) > 1
    assert len({(one.state_dir / KEY_FILE).read_bytes() for one in others}) == 8


def test_a_salt_repeats_a_split_and_draws_no_secret(site, tmp_path):
    salted = [
        site.model_copy(update={"state_dir": tmp_path / str(number), "split_salt": "7 north"})
        for number in range(3)
    ]
    assert len({split(one, "ABCDEFGH") for one in salted}) == 1
    assert not (salted[0].state_dir / KEY_FILE).exists()
    other = site.model_copy(update={"state_dir": tmp_path / "other", "split_salt": "8 north"})
    assert split(salted[0], [f"P{n}" for n in range(30)]) != split(other, [f"P{n}" for n in range(30)])


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


def test_names_that_are_no_text_can_be_remembered(site):
    assert len(answered(site, [os.fsdecode(b"M\xfcller"), "B", "C"]).cases) == 3
    assert len(answered(site, [os.fsdecode(b"M\xfcller"), "B", "C"]).cases) == 3


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

    monkeypatch.setattr(patient_register, "write_atomically", fail)
    with pytest.raises(DataError, match="No space left"):
        answered(site, "ABCDEF")


def test_looking_writes_nothing(site):
    register = read_register(site)
    assert len(register.split(visits("ABCD"), validation_fraction=0.5).validation) == 2
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


def test_a_job_that_wants_more_patients_changes_no_group(site):
    first = answered(site, "ABCDEFG")
    assert answered(site, "ABCDEFG", job_minimum=8).count is None
    assert answered(site, "ABCDEFG", job_minimum=7) == first
    assert answered(site, "ABCDEFG", job_minimum=1) == first


def test_questions_are_kept_apart(site):
    answered(site, "ABC", "scores")
    assert len(answered(site, "ABCD", "statistics").cases) == 4
    assert len(answered(site, "ABCD", "scores").cases) == 3


@pytest.mark.parametrize(("patients", "count"), [("", 0), ("A", None), ("AB", None), ("ABC", 3), ("ABCD", 4)])
def test_a_count_of_few_patients_is_none(site, patients, count):
    with open_register(site) as register:
        assert register.count("left out", visits(patients), minimum=3) == count


def test_many_cases_of_few_patients_are_not_counted(site):
    with open_register(site) as register:
        cases = [Visit(f"{patient}-{number}", patient) for patient in "AB" for number in range(9)]
        assert register.count("left out", cases, minimum=3) is None


def test_one_job_at_a_time_has_it_open(site):
    with open_register(site):
        (lock,) = (path for path in site.state_dir.iterdir() if path.suffix == ".lock")
        with pytest.raises(Timeout):
            FileLock(lock, timeout=0).acquire()
    FileLock(lock, timeout=0).acquire()


def sides(register, patients):
    both = register.split(visits(patients), validation_fraction=0.25)
    return {case.patient: case in both.validation for case in (*both.train, *both.validation)}


def ids(pattern, count, seed):
    """Ids of a cohort, and of one more patient."""
    random = np.random.default_rng(seed)
    words = ["".join(random.choice([*"abcdefghij"], 6)) for _ in range(count + 1)]
    return [pattern.format(number, word) for number, word in enumerate(words, start=1)]


def test_another_patient_moves_nobody_at_a_site_that_remembers(tmp_path):
    for trial in range(200):
        site = SiteSettings(dataset=tmp_path, state_dir=tmp_path / str(trial))
        patients = ids("{1}", 1 + trial % 30, trial)
        with open_register(site) as register:
            before = sides(register, patients[:-1])
        with open_register(site) as register:
            after = sides(register, patients)
        assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("pattern", "smallest"), [("BraTS20_Training_{0:03}", 5), ("UPENN-GBM-{0:05}", 5), ("{1}", 30)]
)
def test_another_patient_moves_nobody_in_a_simulation(pattern, smallest):
    for trial in range(300):
        patients = ids(pattern, smallest + trial % 30, trial)
        before = sides(PatientRegister(str(trial).encode(), repeats=True), patients[:-1])
        after = sides(PatientRegister(str(trial).encode(), repeats=True), patients)
        assert before.items() <= after.items()


def test_numbered_patients_keep_their_share_in_a_simulation():
    for trial in range(200):
        count = 4 + trial % 40
        register = PatientRegister(str(trial).encode(), repeats=True)
        validated = sum(sides(register, [f"BraTS2021_{number:05}" for number in range(count)]).values())
        assert abs(validated - count / 4) < 2


def test_a_number_of_any_length_has_a_side():
    patients = [f"P{'9' * 400}", "P\n1", "", "٣", "P1"]
    assert len(sides(PatientRegister(b"key", repeats=True), patients)) == 5


def test_two_cases_that_are_declared_one_patient_are_on_one_side_from_then_on(site):
    with open_register(site) as register:
        before = register.split(visits("ABCDEFGH"), validation_fraction=0.5)
        register.answerable("scores", before.validation, minimum=2)
    trained, validated = before.train[0], before.validation[0]
    declared = [
        Visit(case.id, "declared") if case in (trained, validated) else case for case in visits("ABCDEFGH")
    ]
    for _ in range(2):
        with open_register(site) as register:
            after = register.split(declared, validation_fraction=0.5)
            assert {case.id for case in after.train} == {validated.id} | {case.id for case in before.train}
            assert {case.id for case in after.validation} < {case.id for case in before.validation}
            assert register.answerable("scores", after.validation, minimum=2).held_back == 1


def test_what_was_answered_about_stays_answered_when_the_patient_gets_another_name(site):
    first = answered(site, "ABCDEF")
    renamed = [Visit(case.id, f"declared {case.patient}") for case in visits("ABCDEF")]
    with open_register(site) as register:
        again = register.answerable("scores", renamed, minimum=3)
    assert again.groups == first.groups


def declare(patients, same):
    return [Visit(case.id, "one" if case.patient in same else case.patient) for case in visits(patients)]


def test_a_declaration_takes_nobody_out_of_the_answers(site):
    first = answered(site, "ABCDEFGHIJ", minimum=5)
    assert len(first.groups) == 2
    same = sorted(case.patient for case in first.cases if case.id in first.groups[0])
    for one in (same[:2], same):
        with open_register(site) as register:
            again = register.answerable("scores", declare("ABCDEFGHIJ", one), minimum=5)
        assert (len(again.cases), again.held_back) == (10, 0)


def test_who_is_declared_one_person_is_not_left_when_others_go(site):
    first = answered(site, "ABCDEF")
    same = [case.patient for case in first.cases if case.id in first.groups[0]]
    for gone in (same[0], next(patient for patient in "ABCDEF" if patient not in same)):
        with open_register(site) as register:
            cases = [case for case in declare("ABCDEF", same) if case.id != f"{gone}-1"]
            assert register.count("scores", cases, minimum=3) is None


def test_a_left_out_case_counts_as_whose_it_is_declared(site):
    answered(site, "ABCDEF")
    with open_register(site, {case.id: case.patient for case in declare("ABCDEF", "ABCDEF")}) as register:
        register.answerable("scores", declare("ABCDEF", "ABCDEF")[1:], minimum=3)
    with open_register(site) as register:
        assert register.count("scores", declare("ABCDEF", "BCDEF"), minimum=3) is None


def test_scores_of_one_person_alone_stay_at_the_site(site):
    answered(site, "ABC")
    with open_register(site) as register:
        assert register.count("scores", declare("ABC", "AB"), minimum=3) is None
    with open_register(site) as register:  # others came: they are answered about with it from now on
        assert len(register.answerable("scores", declare("ABCDEF", "AB"), minimum=3).groups) == 1


@pytest.mark.parametrize("salt", [None, "salt"])
def test_a_new_case_of_a_trained_patient_is_trained_on_although_the_trained_one_is_left_out(site, salt):
    site = site.model_copy(update={"split_salt": salt})
    with open_register(site) as register:
        before = register.split(visits("ABCDEFGH"), validation_fraction=0.5)
    trained = before.train[0]
    present = [case for case in visits("ABCDEFGH") if case not in (trained, before.validation[0])]
    for number in range(20):
        new = Visit(f"new {number}", f"X{number}")
        everybody = {**{case.id: case.patient for case in [*present, new]}, trained.id: new.patient}
        with open_register(site, everybody) as register:
            after = register.copy().split([*present, new], validation_fraction=0.5)
        assert new in after.train
        assert trained.id not in {case.id for case in (*after.train, *after.validation)}
