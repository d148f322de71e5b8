import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from consilium.report.training.build import build_report
from consilium.report.training.patients import PatientPicture
from report.study import SECONDS, baselines, federation, scores


def test_a_report_is_numbers_pictures_and_a_page(tmp_path: Path) -> None:
    picture = tmp_path / "aster.png"
    picture.write_bytes(b"the picture")
    printed = tmp_path / "print_aster.png"
    printed.write_bytes(b"for paper")
    patients = {"aster": PatientPicture(picture, printed, "a patient", 0.6)}
    folder = tmp_path / "run" / "report"
    page = build_report(folder, federation(), baselines=baselines(), seconds=SECONDS, patients=patients)
    assert page == folder / "index.html"
    html = page.read_text(encoding="utf-8")
    assert "dGhlIHBpY3R1cmU=" in html
    assert "Zm9yIHBhcGVy" in html
    assert "mean Dice of this patient 0.600" in html
    assert "6 min 35 s" in html  # the total of SECONDS
    assert json.loads((folder / "report.json").read_text())["summary"]["global"]["dice"] == pytest.approx(
        0.78
    )
    assert (folder / "curves.png").read_bytes() != (folder / "curves_dark.png").read_bytes()


def test_numbers_that_cannot_be_believed_leave_no_report(tmp_path: Path) -> None:
    record = federation()
    record.final_scores["aster"] = scores(float("nan"))
    with pytest.raises(ValidationError):
        build_report(tmp_path, record, baselines=None, seconds={}, patients={})
    assert list(tmp_path.iterdir()) == []
