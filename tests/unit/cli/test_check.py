"""`consilium check`: verdicts, exit codes, texts, JSON and the page."""

import json
from html.parser import HTMLParser

import pytest
from data.hospital import NAMES_2023, Hospital


def damage(hospital):
    path = hospital.folder / "rossi-1961/rossi-1961_t2.nii.gz"
    path.write_bytes(path.read_bytes()[:40])


def test_a_sound_folder_is_ready_once_it_has_enough_patients_to_train_on(check, hospital):
    code, out, _ = check(hospital.folder)
    assert code == 0
    assert "too few to train: 2 cases of 2 patients used (2 labeled), 0 left out" in out
    assert "Too few to train on: 2 labeled patients, and min_training_patients is 3" in out
    assert "--min-patients 1" in out
    hospital.brats("third")
    code, out, _ = check(hospital.folder)
    assert code == 0
    assert "ready: 3 cases of 3 patients used (3 labeled), 0 left out" in out
    assert "--min-patients" not in out


def test_files_that_were_written_are_named_at_the_end(check, hospital, tmp_path):
    files = {f"--{name}": tmp_path / name for name in ("html", "write-patients", "write-accepted")}
    _, out, _ = check(hospital.folder, *(word for pair in files.items() for word in pair))
    assert out.splitlines()[-3:] == [str(path) for path in files.values()]


def test_a_folder_with_a_bad_case_says_what_to_do_and_names_nobody_unless_asked(check, hospital):
    damage(hospital)
    code, out, _ = check(hospital.folder)
    assert code == 1
    assert "Copy the file from its source again" in out
    assert "rossi" not in out
    _, out, _ = check(hospital.folder, "--show-cases")
    assert "rossi-1961: " in out


def test_more_left_out_than_a_site_tolerates_by_default_is_said(check, hospital):
    damage(hospital)
    assert "job would be declined" not in check(hospital.folder)[1].replace("; a job would be declined", "")
    Hospital(hospital.folder).brats("smith", without=("t1",))
    code, out, _ = check(hospital.folder)
    assert code == 1
    assert "a job would be declined: more than 50% of the cases would be left out" in " ".join(out.split())


def test_an_image_that_a_hospital_lacks_is_declined_by_jobs_that_do_not_learn_to_do_without(check, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("mueller", "rossi", "smith"):
        hospital.brats(name, without=("t1",))
    code, out, _ = check(hospital.folder, "--missing", "t1")
    assert code == 2
    assert "brain_tumor_fedprox, " in out
    assert "each with learning.modality_dropout above 0" in " ".join(out.split())
    code, out, _ = check(hospital.folder, "--missing", "t1", "--set", "learning.modality_dropout=0.2")
    assert code == 0
    assert "ready: 3 cases of 3 patients used" in out


def test_json_has_counts_by_code_and_no_id_or_path(check, hospital):
    damage(hospital)
    code, out, _ = check(hospital.folder, "--json")
    found = json.loads(out)
    assert code == 1
    assert found.keys() == {
        *("format", "verdict", "job", "layout", "label_convention", "cases", "unknown_files", "accepted"),
        *("findings", "sets", "missing_targets"),
    }
    assert found["verdict"] == "cases_left_out"
    assert found["cases"] == {"used": 1, "labeled": 1, "left_out": 1}
    (truncated,) = (one for one in found["findings"] if one["code"] == "truncated")
    assert truncated.keys() == {"code", "severity", "summary", "cases", "images", "remedy"}
    assert (truncated["severity"], truncated["cases"]) == ("error", 1)
    assert "rossi" not in out
    assert str(hospital.folder) not in out
    _, out, _ = check(hospital.folder, "--json", "--show-cases")
    assert "rossi-1961" in out


def test_a_folder_with_two_readings_of_its_labels_can_not_be_used_until_it_says_which(check, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("A", "B"):
        hospital.brats(name, values=(0, 1, 2, 4), names=NAMES_2023)
    code, out, _ = check(hospital.folder, "--json")
    assert code == 2
    assert [one["code"] for one in json.loads(out)["findings"]] == ["ambiguous_convention"]
    assert check(hospital.folder, "--convention", "brats-2018")[0] == 0


@pytest.mark.long
def test_labels_without_a_region_are_asked_about_and_stated_with_missing(check, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in "ABCDEF":
        hospital.brats(name, values=(0, 1, 2))
    for known in ((), ("--convention", "brats-2018")):
        assert "don't distinguish a region, such as et, name it as well: --missing et" in " ".join(
            check(hospital.folder, *known)[1].split()
        )
    page = tmp_path / "check.html"
    options = ("--convention", "brats-2018", "--missing", "et")
    code, out, _ = check(hospital.folder, *options, "--html", page)
    assert code == 0
    for text in (out, page.read_text()):
        assert "it trains and scores tc and wt only" in " ".join(text.split())
    assert "labels are brats-2018, without et" in page.read_text()
    assert json.loads(check(hospital.folder, *options, "--json")[1])["missing_targets"] == ["et"]


@pytest.mark.long
def test_whole_tumor_masks_can_be_trained_on_without_the_core(check, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in "ABCDEF":
        hospital.brats(name, values=(0, 2))
    assert check(hospital.folder)[0] == 2
    options = ("--convention", "brats-2018", "--missing", "tc", "--missing", "et")
    code, out, _ = check(hospital.folder, *options)
    assert code == 0
    assert "6 cases of 6 patients used (6 labeled)" in out
    assert "it trains and scores wt only" in " ".join(out.split())


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("T1",), "names no image or target of brain_tumor; known: t1, t1ce, t2, flair, tc, wt, et"),
        (("tc", "wt", "et"), "have nothing to learn from; leave one out"),
    ],
)
def test_what_can_not_be_missing_is_named(check, hospital, missing, said):
    code, _, err = check(hospital.folder, *(word for one in missing for word in ("--missing", one)))
    assert code == 2
    assert said in " ".join(err.split())


@pytest.mark.parametrize(("files", "finding"), [([], "folder_unusable"), (["a.dcm"], "unknown_layout")])
def test_a_folder_without_cases_can_not_be_used(check, tmp_path, files, finding):
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("")
    code, out, _ = check(folder, "--json")
    assert code == 2
    assert [one["code"] for one in json.loads(out)["findings"]] == [finding]


@pytest.mark.parametrize("name", ["IM0001", "slice.dcm"])
def test_dicom_is_recognized_by_its_content_and_what_to_do_is_said(check, tmp_path, name):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / name).write_bytes(bytes(128) + b"DICM" + bytes(20))
    code, out, _ = check(folder)
    assert code == 2
    assert "convert each series to NIfTI" in " ".join(out.split())


def test_good_cases_without_labels_are_good(check, tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("A", "B"):
        hospital.brats(name, values=None)
    page = tmp_path / "check.html"
    code, out, _ = check(hospital.folder, "--json", "--html", page)
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
    code, out, _ = check(hospital.folder)
    assert "good without labels: 2 cases" in out


def test_unlabeled_cases_beside_labeled_ones_that_are_left_out(check, hospital):
    hospital.brats("unlabeled", values=None)
    for name in ("mueller-1950", "rossi-1961"):
        (hospital.folder / name / f"{name}_t2.nii.gz").unlink()
    code, out, _ = check(hospital.folder, "--json", "--show-cases")
    found = json.loads(out)
    assert (code, found["verdict"]) == (1, "cases_left_out")
    assert found["cases"] == {"used": 1, "labeled": 0, "left_out": 2}
    (unlabeled,) = (one for one in found["findings"] if one["code"] == "no_labeled_case")
    assert "2 that are left out have one" in unlabeled["seen"][0]["detail"]


@pytest.mark.long
def test_where_every_case_lacks_an_image_it_says_which_and_what_else_is_there(check, hospital, tmp_path):
    for name in ("mueller-1950", "rossi-1961"):
        for modality in ("t1", "t2"):
            (hospital.folder / name / f"{name}_{modality}.nii.gz").unlink()
    page = tmp_path / "check.html"
    code, out, _ = check(hospital.folder, "--json", "--html", page)
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
    _, out, _ = check(hospital.folder)
    assert "t1, t2 in 2 of 2" in out
    assert "rossi" not in out


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


def test_the_page_names_cases_needs_nothing_else_and_says_that_it_stays(check, hospital, tmp_path):
    damage(hospital)
    page = tmp_path / "check.html"
    check(hospital.folder, "--html", page)
    text = page.read_text()
    parsed = Page()
    parsed.feed(text)
    assert "rossi-1961" in text
    assert "must not leave it" in text
    assert "script" not in parsed.tags
    assert parsed.links
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)


@pytest.mark.parametrize("page", [".", "missing/check.html"])
def test_a_page_that_can_not_be_written_is_rejected_before_anything_is_read(check, hospital, tmp_path, page):
    code, out, err = check(hospital.folder, "--html", tmp_path / page)
    assert code == 2
    assert "can't be written; name a file in a folder that exists" in err
    assert (out, (tmp_path / "state").exists()) == ("", False)


@pytest.mark.parametrize("option", ["--state", "--html"])
def test_nothing_is_written_into_the_hospitals_folder(type_words, hospital, option):
    inside = hospital.folder / "here"
    code, _, err = type_words("check", hospital.folder, option, inside)
    assert code == 2
    assert "only ever read" in err
    assert not inside.exists()


def test_an_error_in_a_check_is_a_finding_of_that_case_and_is_tried_again(check, hospital, monkeypatch):
    def fails(view):
        if view.case.id == "rossi-1961":
            raise RuntimeError("a fault of ours")
        return

    with monkeypatch.context() as patched:
        patched.setattr("consilium.tasks.brain_tumor.checks.case.describe_appearance", fails)
        code, out, _ = check(hospital.folder, "--json", "--show-cases")
    (finding,) = (one for one in json.loads(out)["findings"] if one["code"] == "unexpected_error")
    assert code == 1
    assert finding["seen"][0]["case_id"] == "rossi-1961"
    assert check(hospital.folder)[0] == 0


@pytest.mark.parametrize("options", [(), ("--json",), ("--json", "--show-cases")])
def test_an_error_of_our_own_has_an_exit_code_of_its_own_and_json_stays_json(
    check, hospital, monkeypatch, options
):
    def fails(*args, **kwargs):
        raise RuntimeError("rossi-1961 confuses us")

    monkeypatch.setattr("consilium.site_check.folder.read_cohort", fails)
    code, out, err = check(hospital.folder, *options)
    assert code == 70
    assert "Traceback" in err
    assert "report it" in err
    if options:
        content = json.loads(out)
        assert (content["verdict"], content["error"]) == ("program_error", "RuntimeError")
        assert ("rossi" in out) == ("--show-cases" in options)
    else:
        assert out == ""


def test_a_wrong_command_is_json_as_well(check, hospital):
    code, out, _ = check(hospital.folder, "--html", hospital.folder / "x.html", "--json")
    assert code == 2
    assert json.loads(out)["verdict"] == "not_checked"
    assert str(hospital.folder) not in out
