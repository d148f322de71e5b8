import json
import sys
from html.parser import HTMLParser

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
    assert "ready: 2 cases of 2 patients are used (2 labeled), 0 left out" in out


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
    assert found.keys() == {"format", "verdict", "job", "layout", "label_convention", "cases", "findings"}
    assert found["verdict"] == "cases_left_out"
    assert found["cases"] == {"used": 1, "labeled": 1, "left_out": 1}
    (truncated,) = (one for one in found["findings"] if one["code"] == "truncated")
    assert truncated.keys() == {"code", "severity", "summary", "cases", "remedy"}
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


def test_unlabeled_cases_alone_are_not_enough(run, tmp_path):
    hospital = Hospital(tmp_path / "data")
    hospital.brats("A", values=None)
    code, out, _ = run(hospital.folder, "--json")
    assert code == 2
    assert "no_usable_case" in out


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
