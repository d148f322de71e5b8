"""`consilium check` with the hospital's tables: accepted findings, and which cases are one patient's."""

import json

from data.hospital import Hospital


def test_an_accepted_finding_is_counted_and_leaves_no_case_out(check, hospital, tmp_path):
    hospital.brats("weiss-1972", values=(0,))
    accepted = tmp_path / "accepted.csv"
    assert check(hospital.folder, "--write-accepted", accepted)[0] == 1
    check(hospital.folder, "--html", tmp_path / "before.html")
    assert "Some are left out for what a hospital can accept" in (tmp_path / "before.html").read_text()
    header, *lines = accepted.read_text().splitlines()
    assert header == "case,code,files,by,note"
    (line,) = (one for one in lines if one.startswith("weiss-1972,empty_label,x"))
    code, _, err = check(hospital.folder, "--write-accepted", accepted)
    assert (code, "completed; name another file" in err) == (2, True)
    accepted.write_text(f"{header}\n{line[:-1]}Dr. Rossi,no tumor left\n")
    page = tmp_path / "check.html"
    code, out, _ = check(hospital.folder, "--json", "--accepted", accepted, "--html", page)
    found = json.loads(out)
    assert (code, found["cases"]["left_out"], found["accepted"]) == (0, 0, {"empty_label": 1})
    assert "empty_label" not in {one["code"] for one in found["findings"]}
    assert "weiss" not in out
    assert "Accepted by the hospital" in page.read_text()
    _, out, _ = check(hospital.folder, "--accepted", accepted)
    assert "1 finding accepted" in out
    accepted.write_text("case,code,files,by,note\nweiss-1972,truncated,x1,Dr. Rossi,\n")
    code, _, err = check(hospital.folder, "--accepted", accepted)
    assert code == 2
    assert "can't be accepted" in err


def test_patients_are_asked_about_and_declared_in_the_file_that_is_written(check, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for case in ("mueller7_0", "mueller7_1", "rossi8_0"):
        hospital.brats(case)
    file = tmp_path / "patients.csv"
    code, out, _ = check(hospital.folder, "--write-patients", file)
    assert code == 0
    assert "3 cases of 3 patients" in out
    assert "possible_same_patient" in out
    assert "mueller" not in out
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().splitlines()[1:3] == ["mueller7_0,mueller7", "mueller7_1,mueller7"]
    code, out, _ = check(hospital.folder, "--patients", file)
    assert code == 0
    assert "3 cases of 2 patients" in out
    assert "possible_same_patient" not in out


def test_a_patients_file_that_can_not_be_used_is_named(check, hospital, tmp_path):
    file = tmp_path / "patients.csv"
    file.write_text("case,patient\nmueller-1950,A\nmueller-1950,B\n")
    code, out, _ = check(hospital.folder, "--patients", file)
    assert code == 2
    assert "patients_file" in out
    assert "one case in line 2 and again in line 3" in " ".join(out.split())
    assert "mueller" not in out


def test_no_patients_file_is_written_into_the_dataset(check, hospital):
    code, _, err = check(hospital.folder, "--write-patients", hospital.folder / "patients.csv")
    assert code == 2
    assert "--write-patients" in err
