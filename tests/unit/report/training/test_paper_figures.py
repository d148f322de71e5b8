from pathlib import Path
from xml.etree import ElementTree

import pytest

from consilium.report.training.answers.answers import ReportAnswers
from consilium.report.training.paper_figures import write_figures
from consilium.report.training.summary import summarize_study
from report.study import baselines, federation, scores
from report.training.answers.studies import compared

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("curves", "gain", "service", "trust")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_figures(folder, compared(aster=0.05, birch=0.0, cedar=-0.03))
    return folder / "figures"


def test_each_figure_is_an_svg_with_its_numbers_beside_it(figures: Path) -> None:
    assert sorted(path.name for path in figures.iterdir()) == sorted(
        f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "csv")
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_runs_and_loads_nothing_and_says_what_it_shows(figures: Path, name: str) -> None:
    content = (figures / f"{name}.svg").read_text()
    root = ElementTree.fromstring(content)
    tags = {one.tag.removeprefix(SVG) for one in root.iter()}
    assert not tags & {"script", "foreignObject", "image", "a", "animate", "set", "metadata"}
    values = [value for one in root.iter() for attribute, value in one.attrib.items() if "href" in attribute]
    assert all(value.startswith("#") for value in values)
    assert not [key for one in root.iter() for key in one.attrib if key.startswith("on")]
    assert "<!DOCTYPE" not in content
    assert str(figures) not in content
    title = root.find(f"{SVG}title")
    assert root.get("role") == "img"
    assert title is not None
    assert title.text


@pytest.mark.long
def test_the_same_study_is_the_same_file(figures: Path, tmp_path: Path) -> None:
    write_figures(tmp_path, compared(aster=0.05, birch=0.0, cedar=-0.03))
    for path in figures.iterdir():
        assert (tmp_path / "figures" / path.name).read_bytes() == path.read_bytes()


def test_text_stays_text_and_standings_are_in_words(figures: Path) -> None:
    words = " ".join(ElementTree.fromstring((figures / "gain.svg").read_text()).itertext())
    for word in (
        "aster",
        "gains +0.050",
        "no clear difference 0.000",
        "loses",
        "not compared",
        "20 patients",
    ):
        assert word in words
    report = compared(aster=0.05, birch=0.0, cedar=-0.03)
    assert ReportAnswers.of(report).gain.sentence in words


@pytest.mark.long
def test_a_name_of_another_is_only_text(tmp_path: Path) -> None:
    hostile = "<script>$x^2$</script>"
    record = federation(rounds=1)
    record.rounds[0].sites[hostile] = record.rounds[0].sites["aster"]
    record.final_scores[hostile] = scores(0.5)
    write_figures(tmp_path, summarize_study(record, baselines=None, seconds={}))
    root = ElementTree.fromstring((tmp_path / "figures/service.svg").read_text())
    assert not list(root.iter(f"{SVG}script"))
    assert hostile in " ".join(root.itertext())


@pytest.mark.long
def test_a_figure_of_an_earlier_report_does_not_stay(tmp_path: Path) -> None:
    write_figures(tmp_path, summarize_study(federation(), baselines=baselines(), seconds={}))
    assert (tmp_path / "figures/gain.svg").exists()
    write_figures(tmp_path, summarize_study(federation(), baselines=None, seconds={}))
    assert not list((tmp_path / "figures").glob("gain.*"))
