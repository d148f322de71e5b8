"""A task of another package from its synthetic hospitals to the pages of its jobs, by commands alone."""

import re
from html import unescape

import pytest

from .chest_ct import export
from .studies import Study, simulate

pytestmark = pytest.mark.integration

BRAIN = re.compile(
    r"brain|skull|tumou?r|glioma|brats|edema|enhancing|modalit|\b(head|mri?|flair|t1|t1ce|t2|wt|tc|et)\b",
    re.I,
)


@pytest.fixture
def conduct(chests, chest_package, tmp_path):
    """Simulate one of the task's jobs at its synthetic hospitals."""

    def conduct(kind: str) -> Study:
        errors = export(kind, tmp_path)
        study = simulate(tmp_path / f"chest_ct_{kind}", chests, tmp_path / "out")
        assert study.code == 0, study.stderr
        assert BRAIN.findall(errors + study.stdout + study.stderr) == []
        return study

    return conduct


def page_of(study: Study) -> tuple[str, str]:
    """Return the page, and its text."""
    page = (study.out / "report/index.html").read_text()
    text = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", page)
    return page, re.sub(r"\s+", " ", unescape(text))


def test_a_training_ends_with_a_report_of_its_own_region_and_pictures(chest_training):
    study = chest_training
    assert BRAIN.findall(study.stdout + study.stderr) == []
    page, text = page_of(study)
    assert study.federation["status"] == "finished"
    assert "chest CT lesion segmentation" in text
    assert "lesion" in text
    assert "LESION" not in text  # one region: no column of its own beside a mean of itself
    assert "mean Dice" not in text
    assert BRAIN.findall(text) == []
    assert page.count("<img") >= 3  # curves, and one patient of each hospital
    assert (study.out / "result/model.safetensors").is_file()


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "said", "title"),
    [
        ("check", "2 of 2 hospitals can train", "Readiness for chest CT lesion segmentation"),
        ("stats", "0 is -1000 HU and 1 is 400 HU", "Statistics for chest CT lesion segmentation"),
    ],
)
def test_a_check_and_statistics_end_with_their_pages(conduct, kind, said, title):
    page, text = page_of(conduct(kind))
    assert said in text
    assert f"<title>{title}</title>" in page
    assert BRAIN.findall(text) == []
