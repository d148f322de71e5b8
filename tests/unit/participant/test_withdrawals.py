import pytest
from data.hospital import NAMES_2023, Hospital
from learning.tiny import LEARNING, site

from consilium.errors import RefusalCode, SiteRefusal
from consilium.participant.site_cases import examine_cases
from consilium.participant.site_data import prepare_site
from consilium.participant.withdrawals import Withdrawals
from consilium.tasks import get_task

PATIENTS = ("P1", "P2", "P3", "P4")


@pytest.fixture
def hospital(tmp_path):
    def build(text: str | bytes | None):
        path = tmp_path / "withdrawn.txt"
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return site(tmp_path, PATIENTS, withdrawn_patients=path)

    return build


def used(settings) -> set[str]:
    data = prepare_site(settings, LEARNING)
    return {case.patient for case in (*data.train, *data.validation, *data.test)}


def test_a_patient_who_withdrew_is_in_no_set_and_is_not_counted(hospital):
    settings = hospital("P2\n")
    assert used(settings) == {"P1", "P3", "P4"}
    checked = examine_cases(settings, get_task("brain_tumor").cases)
    assert {case.patient for case in checked.cohort.cases} == {"P1", "P3", "P4"}
    assert not any(finding.case_id == "P2" for finding in checked.findings)
    assert prepare_site(settings, LEARNING).left_out == {}


def test_whoever_withdraws_later_is_left_out_from_then_on(hospital):
    assert used(hospital("")) == set(PATIENTS)
    assert used(hospital("P1\nP4\n")) == {"P2", "P3"}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("text", ["p2", "  P2  \r\n", "\ufeffP2\n", "# on paper, 3 May\n\nP2\n"])
def test_the_list_is_read_as_people_write_it(hospital, text):
    assert used(hospital(text)) == {"P1", "P3", "P4"}


def test_a_patient_of_whom_one_examination_is_listed_is_left_out_with_all(tmp_path):
    (tmp_path / "withdrawn.txt").write_text("BraTS-GLI-00001-100\n")
    settings = site(
        tmp_path, [], label_convention="brats-2018", withdrawn_patients=tmp_path / "withdrawn.txt"
    )
    for visit in range(2):
        for patient in range(1, 4):
            Hospital(settings.dataset).brats(f"BraTS-GLI-0000{patient}-10{visit}", names=NAMES_2023)
    data = prepare_site(settings, LEARNING)
    assert {case.id for case in (*data.train, *data.validation, *data.test)} == {
        f"BraTS-GLI-0000{patient}-10{visit}" for patient in (2, 3) for visit in range(2)
    }
    assert len(data.withdrawn) == 1


def test_an_entry_that_is_nobody_here_is_said_in_the_sites_log(hospital, caplog):
    assert used(hospital("P2\nP22\n")) == {"P1", "P3", "P4"}
    assert "1 entry of the list of withdrawn patients" in caplog.text
    assert "P22" not in caplog.text


@pytest.mark.parametrize("text", [None, b"\xff\xfe\x00"])
def test_a_list_that_can_not_be_read_lets_no_job_run(hospital, text):
    with pytest.raises(SiteRefusal, match="withdrawn_patients") as refusal:
        prepare_site(hospital(text), LEARNING)
    assert refusal.value.code is RefusalCode.DATASET
    assert "withdrawn.txt" not in refusal.value.public_reason


def test_without_the_setting_nobody_has_withdrawn():
    assert Withdrawals.read(None).ids == frozenset()
