"""The report of an evaluation: who is served worst, what was withheld, and who did not answer."""

import csv
import io
import json
from xml.etree import ElementTree

import pytest
from records.test_evaluation_bounds import answer

from consilium.errors import RefusalCode
from consilium.records.bounds import MissingSite
from consilium.records.evaluation import EvaluationRecord, ModelEntry, SiteEvaluation
from consilium.records.job_record import load_record
from consilium.report.models.page import draw_key_measure, render_models
from consilium.report.models.summary import build_matrix, key_measures, subgroup_tables, to_csv, to_json
from consilium.report.write import write_report
from consilium.tasks import get_task
from report.html import read_text

TASK = get_task("brain_tumor")
KEY = key_measures(TASK.evaluation)[0]


def site(dice, subgroups=None, **more):
    content = answer()
    content["whole"]["measures"]["dice"]["mean"] = dice
    content["subgroups"] = {}
    for attribute, values in (subgroups or {}).items():
        for value, mean in values.items():
            group = answer()["subgroups"]["age band"]["<60"]
            group["measures"]["dice"]["mean"] = mean
            content["subgroups"].setdefault(attribute, {})[value] = group
    return SiteEvaluation.model_validate({**content, **more})


@pytest.fixture
def record():
    first = ModelEntry(
        digest=f"sha256:{'1' * 64}",
        job="a training",
        round=4,
        sites={
            "north": site(0.8, {"age band": {"<60": 0.9, "60+": 0.6}}, withheld={"scanner": 2}),
            "south": site(0.5, note="its file of subgroups can't be used; the site's log says why"),
        },
        missing={"<b>west</b>": MissingSite(reason="no answer within 240 minutes", code=RefusalCode.LATE)},
    )
    second = ModelEntry(digest=f"sha256:{'2' * 64}", sites={"north": site(0.4)})
    return EvaluationRecord(
        job="an evaluation",
        task="brain_tumor",
        title="Brain tumor segmentation",
        status="finished",
        models={"final": first, "best": second},
    )


def test_the_matrix_names_the_worst_site_of_each_model(record):
    matrix = build_matrix(record, TASK, KEY)
    assert KEY.name == "dice"
    assert matrix.means == {"final": pytest.approx(0.65), "best": 0.4}
    assert matrix.worst == {"final": "south", "best": "north"}
    assert matrix.sites["south"]["best"] is None
    assert matrix.sites["north"]["final"].interval is not None


def test_lower_is_worse_or_better_as_the_measure_has_it(record):
    distance = next(one for one in TASK.evaluation.measures if one.name == "hd95")
    record.models["final"].sites["north"].whole.measures["hd95"].mean = 30.0
    assert build_matrix(record, TASK, distance).worst["final"] == "north"
    volume = next(one for one in TASK.evaluation.measures if one.better == "none")
    assert build_matrix(record, TASK, volume).worst == {}


def test_subgroups_have_a_gap(record):
    age, scanner = subgroup_tables(record, KEY)
    assert (age.site, age.attribute, age.withheld) == ("north", "age band", 0)
    assert age.gaps == {"final": pytest.approx(0.3)}
    assert (scanner.rows, scanner.withheld) == ({}, 2)


def test_the_page_says_it_all_and_escapes_names(record):
    html = render_models(record)
    text = read_text(html)
    assert "<b>west</b>" not in html
    assert "<b>west</b> did not evaluate final: no answer within 240 minutes" in text
    assert "worst at south" in text
    assert "2 subgroups withheld" in text
    assert "its file of subgroups can't be used" in text
    assert "Best less worst" in text
    for title in ("Whole tumor", "Surface Dice at 1 mm", "Lesion-wise Dice"):
        assert title in text


def test_every_number_says_whether_test_or_validation_patients_are_behind_it(record):
    record.models["final"].sites["south"] = site(0.5, set="validation")
    text = read_text(render_models(record))
    assert "north test patients" in text
    assert "south validation patients" in text
    assert "south test patients" not in text
    assert to_json(record, TASK)["sets"] == {"north": "test", "south": "validation"}
    rows = csv.DictReader(io.StringIO(to_csv(record, TASK)))
    assert {(row["site"], row["set"]) for row in rows} == {("north", "test"), ("south", "validation")}


def test_the_page_says_how_many_models_test_patients_were_used_for_before(record):
    record.models["final"].sites["north"].earlier_models = 7
    text = read_text(render_models(record))
    assert "The test patients of north were used to evaluate 7 models before this job." in text
    assert "The test patients of south" not in text


def test_a_downloaded_result_is_reported(record, tmp_path):
    record.save(tmp_path / "result/workspace/model_evaluation.json")
    loaded = load_record(tmp_path / "result")
    assert loaded == record
    page = write_report(tmp_path / "report", loaded)
    assert page.name == "index.html"
    numbers = json.loads((tmp_path / "report/report.json").read_text())
    assert numbers == json.loads(json.dumps(to_json(record, TASK)))
    assert [one["site"] for one in numbers["missing"]] == ["<b>west</b>"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report/models.csv").read_text())))
    assert rows == list(csv.DictReader(io.StringIO(to_csv(record, TASK))))
    dice = {
        (one["model"], one["site"], one["subgroup"]): one["mean"] for one in rows if one["measure"] == "dice"
    }
    assert dice["final", "north", "<60"] == "0.9"
    assert dice["best", "north", ""] == "0.4"


def test_a_failed_evaluation_has_a_page_too(record):
    failed = record.model_copy(update={"status": "failed", "reason": "model x is missing", "models": {}})
    assert "model x is missing" in read_text(render_models(failed))


@pytest.fixture
def compared(record):
    """Hospitals with and without a model of their own."""
    own = ModelEntry(digest=None, sites={"north": site(0.6)})
    gains = {"dice": {"mean": 0.2, "low": 0.05, "high": 0.3}}
    record.models["final"].sites["north"] = site(0.8, gains=gains)
    unclear = {"dice": {"mean": -0.2, "low": -0.5, "high": 0.1}}
    record.models["best"].sites["north"] = site(0.4, gains=unclear)
    record.models = {"local_only": own, **record.models}
    return record


def test_each_hospital_s_gain_over_its_own_model_is_stated_with_its_interval(compared):
    text = read_text(render_models(compared))
    assert "What does each hospital gain over its own model?" in text
    assert "+0.200 (+0.050 to +0.300), better" in text
    assert "-0.200 (-0.500 to +0.100), no clear difference" in text
    assert "of each hospital's own file, which stays there" in text
    gains = to_json(compared, TASK)["gains"]
    assert gains["north"]["final"]["standing"] == "gains"
    assert list(gains) == ["north"]


def test_without_models_of_their_own_nothing_is_said_of_gains(record):
    assert "gain over its own model" not in read_text(render_models(record))
    assert to_json(record, TASK)["gains"] == {}


def test_the_figure_has_every_model_at_every_hospital_and_runs_nothing(compared, tmp_path):
    compared.models["<b>$x_1$</b>"] = compared.models.pop("best")
    compared.models["final"].sites["<script>alert(1)</script>"] = site(0.7)
    page = write_report(tmp_path, compared)
    svg = (tmp_path / "models.svg").read_text()
    root = ElementTree.fromstring(svg)
    texts = [one.text for one in root.iter() if one.text]
    for name in ("north", "south", "final", "local_only"):
        assert any(name in text for text in texts)
    assert "<script" not in svg
    assert "<script" not in page.read_text()
    assert "data:image/svg+xml;base64," in page.read_text()
    assert draw_key_measure(compared, TASK) == svg  # the same record is the same file


def test_without_any_answer_there_is_no_figure(record, tmp_path):
    failed = record.model_copy(update={"status": "failed", "reason": "nobody", "models": {}})
    write_report(tmp_path, failed)
    assert not (tmp_path / "models.svg").exists()
