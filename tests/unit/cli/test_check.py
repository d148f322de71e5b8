import gzip
import json
import os
import sys
from html.parser import HTMLParser

import nibabel as nib
import numpy as np
import pytest
from data.hospital import NAMES_2023, Hospital

from consilium.cli.main import main


@pytest.fixture
def hospital(tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("mueller-1950", "rossi-1961"):
        hospital.brats(name)
    return hospital


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Type `consilium check ...`; returns exit code, standard output and standard error."""

    def run(*arguments):
        words = ["consilium", "check", *map(str, arguments), "--state", str(tmp_path / "state")]
        monkeypatch.setattr(sys, "argv", [*words, "--workers", "1"])
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def damage(hospital):
    path = hospital.folder / "rossi-1961/rossi-1961_t2.nii.gz"
    path.write_bytes(path.read_bytes()[:40])


def test_a_sound_folder_is_ready(run, hospital):
    code, out, _ = run(hospital.folder)
    assert code == 0
    assert "ready: 2 cases of 2 patients used (2 labeled), 0 left out" in out


def test_a_folder_with_a_bad_case_says_what_to_do_and_names_nobody_unless_asked(run, hospital):
    damage(hospital)
    code, out, _ = run(hospital.folder)
    assert code == 1
    assert "Copy the file from its source again" in out
    assert "rossi" not in out
    _, out, _ = run(hospital.folder, "--show-cases")
    assert "rossi-1961: " in out


def test_json_has_counts_by_code_and_no_id_or_path(run, hospital):
    damage(hospital)
    code, out, _ = run(hospital.folder, "--json")
    found = json.loads(out)
    assert code == 1
    assert found.keys() == {
        *("format", "verdict", "job", "layout", "label_convention", "cases", "unknown_files", "accepted"),
        "findings",
    }
    assert found["verdict"] == "cases_left_out"
    assert found["cases"] == {"used": 1, "labeled": 1, "left_out": 1}
    (truncated,) = (one for one in found["findings"] if one["code"] == "truncated")
    assert truncated.keys() == {"code", "severity", "summary", "cases", "images", "remedy"}
    assert (truncated["severity"], truncated["cases"]) == ("error", 1)
    assert "rossi" not in out
    assert str(hospital.folder) not in out
    _, out, _ = run(hospital.folder, "--json", "--show-cases")
    assert "rossi-1961" in out


def test_a_folder_with_two_readings_of_its_labels_can_not_be_used_until_it_says_which(run, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("A", "B"):
        hospital.brats(name, values=(0, 1, 2, 4), names=NAMES_2023)
    code, out, _ = run(hospital.folder, "--json")
    assert code == 2
    assert [one["code"] for one in json.loads(out)["findings"]] == ["ambiguous_convention"]
    assert run(hospital.folder, "--convention", "brats-2018")[0] == 0


@pytest.mark.parametrize(("files", "finding"), [([], "folder_unusable"), (["a.dcm"], "unknown_layout")])
def test_a_folder_without_cases_can_not_be_used(run, tmp_path, files, finding):
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("")
    code, out, _ = run(folder, "--json")
    assert code == 2
    assert [one["code"] for one in json.loads(out)["findings"]] == [finding]


@pytest.mark.parametrize("name", ["IM0001", "slice.dcm"])
def test_dicom_is_recognized_by_its_content_and_what_to_do_is_said(run, tmp_path, name):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / name).write_bytes(bytes(128) + b"DICM" + bytes(20))
    code, out, _ = run(folder)
    assert code == 2
    assert "convert each series to NIfTI" in " ".join(out.split())


def test_good_cases_without_labels_are_good(run, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("A", "B"):
        hospital.brats(name, values=None)
    page = tmp_path / "check.html"
    code, out, _ = run(hospital.folder, "--json", "--html", page)
    found = json.loads(out)
    assert code == 0
    assert found["verdict"] == "good_without_labels"
    assert found["cases"] == {"used": 2, "labeled": 0, "left_out": 0}
    severities = {one["code"]: one["severity"] for one in found["findings"]}
    assert severities["no_labeled_case"] == "warning"
    assert "error" not in severities.values()
    text = " ".join(page.read_text().split())
    assert "Good, without labels: 2 cases can be predicted" in text
    assert "no labels" in text
    assert "left out of" not in text
    code, out, _ = run(hospital.folder)
    assert "good without labels: 2 cases" in out


def test_unlabeled_cases_beside_labeled_ones_that_are_left_out(run, hospital):
    hospital.brats("unlabeled", values=None)
    for name in ("mueller-1950", "rossi-1961"):
        (hospital.folder / name / f"{name}_t2.nii.gz").unlink()
    code, out, _ = run(hospital.folder, "--json", "--show-cases")
    found = json.loads(out)
    assert (code, found["verdict"]) == (1, "cases_left_out")
    assert found["cases"] == {"used": 1, "labeled": 0, "left_out": 2}
    (unlabeled,) = (one for one in found["findings"] if one["code"] == "no_labeled_case")
    assert "2 that are left out have one" in unlabeled["seen"][0]["detail"]


def test_where_every_case_lacks_an_image_it_says_which_and_what_else_is_there(run, hospital, tmp_path):
    for name in ("mueller-1950", "rossi-1961"):
        for modality in ("t1", "t2"):
            (hospital.folder / name / f"{name}_{modality}.nii.gz").unlink()
    page = tmp_path / "check.html"
    code, out, _ = run(hospital.folder, "--json", "--html", page)
    found = json.loads(out)
    assert (code, found["verdict"]) == (2, "not_usable")
    assert found["label_convention"] == "brats-2018"
    by_code = {one["code"]: one for one in found["findings"]}
    assert by_code["missing_image"]["images"] == {"t1": 2, "t2": 2}
    assert by_code["missing_image"]["cases"] == 2
    assert by_code["no_usable_case"]["severity"] == "error"
    assert "left out" not in by_code["no_usable_case"]["remedy"]
    text = " ".join(page.read_text().split())
    assert "t1, t2 in 2 of 2" in text
    assert "labels are brats-2018" in text
    assert "no labels" not in text
    _, out, _ = run(hospital.folder)
    assert "t1, t2 in 2 of 2 cases" in out
    assert "rossi" not in out


def test_an_accepted_finding_is_counted_and_leaves_no_case_out(run, hospital, tmp_path):
    hospital.brats("weiss-1972", values=(0,))
    accepted = tmp_path / "accepted.csv"
    assert run(hospital.folder, "--write-accepted", accepted)[0] == 1
    run(hospital.folder, "--html", tmp_path / "before.html")
    assert "Some are left out for what a hospital can accept" in (tmp_path / "before.html").read_text()
    header, *lines = accepted.read_text().splitlines()
    assert header == "case,code,files,by,note"
    (line,) = (one for one in lines if one.startswith("weiss-1972,empty_label,x"))
    code, _, err = run(hospital.folder, "--write-accepted", accepted)
    assert (code, "completed; name another file" in err) == (2, True)
    accepted.write_text(f"{header}\n{line[:-1]}Dr. Rossi,no tumor left\n")
    page = tmp_path / "check.html"
    code, out, _ = run(hospital.folder, "--json", "--accepted", accepted, "--html", page)
    found = json.loads(out)
    assert (code, found["cases"]["left_out"], found["accepted"]) == (0, 0, {"empty_label": 1})
    assert "empty_label" not in {one["code"] for one in found["findings"]}
    assert "weiss" not in out
    assert "Accepted by the hospital" in page.read_text()
    _, out, _ = run(hospital.folder, "--accepted", accepted)
    assert "1 finding accepted" in out
    accepted.write_text("case,code,files,by,note\nweiss-1972,truncated,x1,Dr. Rossi,\n")
    code, _, err = run(hospital.folder, "--accepted", accepted)
    assert code == 2
    assert "can't be accepted" in err


class Page(HTMLParser):
    """Collects tags, links and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.ids = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)


def test_the_page_names_cases_needs_nothing_else_and_says_that_it_stays(run, hospital, tmp_path):
    damage(hospital)
    page = tmp_path / "check.html"
    run(hospital.folder, "--html", page)
    text = page.read_text()
    parsed = Page()
    parsed.feed(text)
    assert "rossi-1961" in text
    assert "must not leave it" in text
    assert "script" not in parsed.tags
    assert parsed.links
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)


@pytest.mark.parametrize("page", [".", "missing/check.html"])
def test_a_page_that_can_not_be_written_is_refused_before_anything_is_read(run, hospital, tmp_path, page):
    code, out, err = run(hospital.folder, "--html", tmp_path / page)
    assert code == 2
    assert "can't be written; name a file in a folder that exists" in err
    assert (out, (tmp_path / "state").exists()) == ("", False)


@pytest.mark.parametrize("option", ["--state", "--html"])
def test_nothing_is_written_into_the_hospitals_folder(run, hospital, option, monkeypatch, capsys):
    inside = hospital.folder / "here"
    monkeypatch.setattr(sys, "argv", ["consilium", "check", str(hospital.folder), option, str(inside)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "only ever read" in capsys.readouterr().err
    assert not inside.exists()


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
def test_one_odd_file_is_a_finding_of_its_case_and_nothing_else(run, hospital, damage, exit_code, code):
    damage(hospital.folder / "rossi-1961/rossi-1961_t2.nii.gz")
    ended, out, err = run(hospital.folder, "--json", "--show-cases")
    found = json.loads(out)["findings"]
    seen = {one["code"]: one["seen"] for one in found}
    assert ended == exit_code
    assert "Traceback" not in err
    assert [one["case_id"] for one in seen[code]] == ["rossi-1961"]
    assert "rossi-1961_t2.nii.gz" in seen[code][0]["detail"]


def test_an_error_in_a_check_is_a_finding_of_that_case_and_is_tried_again(run, hospital, monkeypatch):
    def fails(view):
        if view.case.id == "rossi-1961":
            raise RuntimeError("a fault of ours")
        return

    with monkeypatch.context() as patched:
        patched.setattr("consilium.tasks.brain_tumor.checks.case.describe_appearance", fails)
        code, out, _ = run(hospital.folder, "--json", "--show-cases")
    (finding,) = (one for one in json.loads(out)["findings"] if one["code"] == "unexpected_error")
    assert code == 1
    assert finding["seen"][0]["case_id"] == "rossi-1961"
    assert run(hospital.folder)[0] == 0


@pytest.mark.parametrize("options", [(), ("--json",), ("--json", "--show-cases")])
def test_an_error_of_our_own_has_an_exit_code_of_its_own_and_json_stays_json(
    run, hospital, monkeypatch, options
):
    def fails(*args, **kwargs):
        raise RuntimeError("rossi-1961 confuses us")

    monkeypatch.setattr("consilium.site_check.folder.read_cohort", fails)
    code, out, err = run(hospital.folder, *options)
    assert code == 70
    assert "Traceback" in err
    assert "report it" in err
    if options:
        content = json.loads(out)
        assert (content["verdict"], content["error"]) == ("program_error", "RuntimeError")
        assert ("rossi" in out) == ("--show-cases" in options)
    else:
        assert out == ""


def test_a_wrong_command_is_json_as_well(run, hospital):
    code, out, _ = run(hospital.folder, "--html", hospital.folder / "x.html", "--json")
    assert code == 2
    assert json.loads(out)["verdict"] == "not_checked"
    assert str(hospital.folder) not in out


@pytest.fixture
def foreign(tmp_path):
    """Two cases whose names are Latin-1: Linux takes any bytes, Python makes lone surrogates of them."""
    hospital = Hospital(tmp_path / "foreign")
    for name in (b"M\xfcller", b"S\xf8rensen"):
        hospital.brats(os.fsdecode(name))
    return hospital


def test_names_that_are_no_utf_8_are_read_and_shown_with_escapes(run, foreign, tmp_path):
    page = tmp_path / "check.html"
    assert run(foreign.folder, "--html", page)[0] == 0
    path = foreign.folder / os.fsdecode(b"M\xfcller/M\xfcller_t1.nii.gz")
    path.write_bytes(path.read_bytes()[:60])
    code, out, _ = run(foreign.folder, "--html", page, "--show-cases", "--json")
    (truncated,) = (one for one in json.loads(out)["findings"] if one["code"] == "truncated")
    assert code == 1
    assert truncated["seen"][0]["case_id"] == r"M\xfcller"
    assert r"M\xfcller/M\xfcller_t1.nii.gz" in truncated["seen"][0]["detail"]
    assert r"M\xfcller" in page.read_text(encoding="utf-8")
    assert r"M\xfcller: " in run(foreign.folder, "--show-cases")[1]


def test_a_folder_whose_own_name_is_no_utf_8_is_refused(run, foreign, tmp_path):
    folder = foreign.folder.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xfc"))
    page = tmp_path / "check.html"
    code, out, _ = run(folder, "--json", "--html", page)
    assert code == 2
    assert [one["code"] for one in json.loads(out)["findings"]] == ["folder_unusable"]
    assert page.is_file()


def test_files_that_nobody_understood_are_counted_and_named_on_the_page_only(run, hospital, tmp_path):
    hospital.image("rossi-1961/rossi-1961_T1_KM.nii.gz", np.ones((4, 4, 4), np.uint8))
    page = tmp_path / "check.html"
    _, out, _ = run(hospital.folder, "--html", page)
    assert "unknown_files" in out
    assert "1 _T1_KM.nii.gz" in out
    assert "--file-ending" in out
    assert "rossi" not in out
    assert "rossi-1961/rossi-1961_T1_KM.nii.gz" in page.read_text()
    _, out, _ = run(hospital.folder, "--json")
    assert json.loads(out)["unknown_files"] == 1


def test_a_convention_that_cannot_be_told_shows_both_readings_and_how_to_state_one(run, hospital):
    for number in range(3):
        hospital.brats(f"P{number}", (1, 2, 3))
    code, out, _ = run(hospital.folder)
    words = " ".join(out.split())
    assert code == 2
    assert "brats-2024 labels (3 enhancing tumor, 4 resection cavity)" in words
    assert "brats-2018 labels (4 enhancing tumor)" in words
    assert "--convention" in words
    assert "local/privacy.json" in words
    assert run(hospital.folder, "--convention", "brats-2023")[0] != 2


def test_file_endings_are_read_and_wrong_ones_refused(run, hospital):
    for path in list(hospital.folder.glob("*/*_t1ce.nii.gz")):
        path.rename(path.with_name(path.name.replace("_t1ce", "_T1_KM")))
    assert json.loads(run(hospital.folder, "--json")[1])["cases"]["used"] == 0
    found = json.loads(run(hospital.folder, "--json", "--file-ending", "t1ce=T1_KM")[1])
    assert (found["cases"]["used"], found["unknown_files"]) == (2, 0)
    code, _, err = run(hospital.folder, "--file-ending", "t9=x")
    assert code == 2
    assert "file_endings names 't9'" in err


def test_patients_are_asked_about_and_declared_in_the_file_that_is_written(run, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for case in ("mueller7_0", "mueller7_1", "rossi8_0"):
        hospital.brats(case)
    file = tmp_path / "patients.csv"
    code, out, _ = run(hospital.folder, "--write-patients", file)
    assert code == 0
    assert "3 cases of 3 patients" in out
    assert "possible_same_patient" in out
    assert "mueller" not in out
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().splitlines()[1:3] == ["mueller7_0,mueller7", "mueller7_1,mueller7"]
    code, out, _ = run(hospital.folder, "--patients", file)
    assert code == 0
    assert "3 cases of 2 patients" in out
    assert "possible_same_patient" not in out


def test_a_patients_file_that_can_not_be_used_is_named(run, hospital, tmp_path):
    file = tmp_path / "patients.csv"
    file.write_text("case,patient\nmueller-1950,A\nmueller-1950,B\n")
    code, out, _ = run(hospital.folder, "--patients", file)
    assert code == 2
    assert "patients_file" in out
    assert "one case in line 2 and again in line 3" in " ".join(out.split())
    assert "mueller" not in out


def test_no_patients_file_is_written_into_the_dataset(run, hospital):
    code, _, err = run(hospital.folder, "--write-patients", hospital.folder / "patients.csv")
    assert code == 2
    assert "--write-patients" in err
