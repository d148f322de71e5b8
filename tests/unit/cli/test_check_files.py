"""`consilium check` on files with odd headers, names and endings."""

import gzip
import json
import os

import nibabel as nib
import numpy as np
import pytest
from data.hospital import Hospital


def change_header(path, **fields):
    """Write fields of a header as they are, which nibabel would correct."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(raw)))


HALF_TURN = {"qform_code": 1, "quatern_b": 0, "quatern_c": 0, "quatern_d": 1.0000002}


def make_flat(path):
    image = nib.load(path)
    flat = nib.Nifti1Image(np.asanyarray(image.dataobj)[:, :, 4], image.affine)
    flat.set_qform(image.affine, 1)
    flat.set_sform(image.affine, 1)
    flat.to_filename(path)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("damage", "exit_code", "code"),
    [
        (lambda path: change_header(path, **HALF_TURN), 0, "inexact_qform"),
        (lambda path: change_header(path, **HALF_TURN, sform_code=0), 0, "inexact_qform"),
        (lambda path: change_header(path, vox_offset=float("nan")), 1, "unreadable"),
        (make_flat, 1, "not_3d"),
    ],
    ids=["quaternion", "quaternion that counts", "offset of NaN", "2D with both forms"],
)
def test_one_odd_file_is_a_finding_of_its_case_and_nothing_else(check, hospital, damage, exit_code, code):
    damage(hospital.folder / "rossi-1961/rossi-1961_t2.nii.gz")
    ended, out, err = check(hospital.folder, "--json", "--show-cases")
    found = json.loads(out)["findings"]
    seen = {one["code"]: one["seen"] for one in found}
    assert ended == exit_code
    assert "Traceback" not in err
    assert [one["case_id"] for one in seen[code]] == ["rossi-1961"]
    assert "rossi-1961_t2.nii.gz" in seen[code][0]["detail"]


@pytest.fixture
def foreign(tmp_path):
    """Two cases whose names are Latin-1: Linux takes any bytes, Python makes lone surrogates of them."""
    hospital = Hospital(tmp_path / "foreign")
    for name in (b"M\xfcller", b"S\xf8rensen"):
        hospital.brats(os.fsdecode(name))
    return hospital


@pytest.mark.long
def test_names_that_are_no_utf_8_are_read_and_shown_with_escapes(check, foreign, tmp_path):
    page = tmp_path / "check.html"
    assert check(foreign.folder, "--html", page)[0] == 0
    path = foreign.folder / os.fsdecode(b"M\xfcller/M\xfcller_t1.nii.gz")
    path.write_bytes(path.read_bytes()[:60])
    code, out, _ = check(foreign.folder, "--html", page, "--show-cases", "--json")
    (truncated,) = (one for one in json.loads(out)["findings"] if one["code"] == "truncated")
    assert code == 1
    assert truncated["seen"][0]["case_id"] == r"M\xfcller"
    assert r"M\xfcller/M\xfcller_t1.nii.gz" in truncated["seen"][0]["detail"]
    assert r"M\xfcller" in page.read_text(encoding="utf-8")
    assert r"M\xfcller: " in check(foreign.folder, "--show-cases")[1]


def test_a_folder_whose_own_name_is_no_utf_8_is_rejected(check, foreign, tmp_path):
    folder = foreign.folder.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xfc"))
    page = tmp_path / "check.html"
    code, out, _ = check(folder, "--json", "--html", page)
    assert code == 2
    assert [one["code"] for one in json.loads(out)["findings"]] == ["folder_unusable"]
    assert page.is_file()


def test_files_that_nobody_understood_are_counted_and_named_on_the_page_only(check, hospital, tmp_path):
    hospital.image("rossi-1961/rossi-1961_T1_KM.nii.gz", np.ones((4, 4, 4), np.uint8))
    page = tmp_path / "check.html"
    _, out, _ = check(hospital.folder, "--html", page)
    assert "unknown_files" in out
    assert "1 _T1_KM.nii.gz" in out
    assert "--file-ending" in out
    assert "rossi" not in out
    assert "rossi-1961/rossi-1961_T1_KM.nii.gz" in page.read_text()
    _, out, _ = check(hospital.folder, "--json")
    assert json.loads(out)["unknown_files"] == 1


@pytest.mark.long
def test_an_ambiguous_convention_shows_both_readings_and_how_to_state_one(check, hospital):
    for number in range(3):
        hospital.brats(f"P{number}", (1, 2, 3))
    code, out, _ = check(hospital.folder)
    words = " ".join(out.split())
    assert code == 2
    assert "brats-2024 labels (3 enhancing tumor, 4 resection cavity)" in words
    assert "brats-2018 labels (4 enhancing tumor)" in words
    assert "--convention" in words
    assert "local/privacy.json" in words
    assert check(hospital.folder, "--convention", "brats-2023")[0] != 2


def test_file_endings_are_read_and_wrong_ones_rejected(check, hospital):
    for path in list(hospital.folder.glob("*/*_t1ce.nii.gz")):
        path.rename(path.with_name(path.name.replace("_t1ce", "_T1_KM")))
    assert json.loads(check(hospital.folder, "--json")[1])["cases"]["used"] == 0
    found = json.loads(check(hospital.folder, "--json", "--file-ending", "t1ce=T1_KM")[1])
    assert (found["cases"]["used"], found["unknown_files"]) == (2, 0)
    code, _, err = check(hospital.folder, "--file-ending", "t9=x")
    assert code == 2
    assert "file_endings names 't9'" in err
