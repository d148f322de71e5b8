"""A 2D classification in a package of its own: two photographs and one grade a patient, and nothing else."""

import json
import re

import pytest
from tasks.packages import brought

from consilium.errors import ConfigurationError, SiteRefusal
from consilium.learning.model_file import save_model
from consilium.learning.network_state import initial_weights
from consilium.participant.site_data import prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.participant.statistics import gather_statistics
from consilium.recipes.catalog import build_recipe, task_jobs
from consilium.records.score_bounds import read_scores
from consilium.tasks import get_task, parse_learning
from consilium.tasks.registry import synthetic_cohort

OTHER_KINDS = re.compile(
    r"\b(brain|head|tumou?r|voxels?|volumes?|dice|hd95|regions?|patch(es)?|mm|ml|segment\w*)\b", re.I
)

JOB = "fundus_fedavg"


@pytest.fixture(scope="module", autouse=True)
def package():
    with brought("fundus"):
        yield


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return synthetic_cohort("fundus").make(tmp_path_factory.mktemp("archives")).hospitals


@pytest.fixture
def island(tmp_path):
    """A hospital of eight patients, to damage."""
    return synthetic_cohort("fundus").make(tmp_path / "archives", only=["island"]).hospitals["island"]


def site(folder, tmp_path, **values):
    places = {"split_salt": "a test", "cache_dir": tmp_path / "cache", "state_dir": tmp_path / "state"}
    return SiteSettings(dataset=folder, tasks={"fundus": {}}, **{**places, **values}).for_task("fundus")


def learning(**values):
    return parse_learning({"task": "fundus", **values}, source="a test")


def test_a_sound_folder_is_ready_and_the_page_is_of_photographs(check, archives):
    code, found, text = check(archives["harbor"])
    assert code == 0
    assert found["verdict"] == "ready"
    assert found["cases"] == {"used": 32, "labeled": 32, "left_out": 0}
    assert "; 32 labels." in text
    assert "is not known" not in text
    assert OTHER_KINDS.findall(text) == []


def test_what_is_wrong_with_a_case_is_said_by_code(check, island):
    cut = island / "island-00_left.png"
    cut.write_bytes(cut.read_bytes()[:200])
    (island / "island-01_right.png").unlink()
    grades = (island / "grades.csv").read_text()
    (island / "grades.csv").write_text(grades.replace("island-02,2", "island-02,7"))
    code, found, text = check(island)
    assert code == 1
    assert {one["code"]: one["cases"] for one in found["findings"]} == {
        "truncated": 1,
        "missing_image": 1,
        "bad_grade": 1,
    }
    assert found["cases"] == {"used": 5, "labeled": 5, "left_out": 3}
    assert "Correct the grade in grades.csv." in text


def test_a_folder_without_grades_or_photographs_is_recognized(check, island, tmp_path):
    (island / "grades.csv").unlink()
    assert check(island)[1]["verdict"] == "good_without_labels"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/scan.nii.gz").write_bytes(b"1")
    assert check(tmp_path / "empty")[1]["findings"][0]["code"] == "unknown_layout"


@pytest.mark.long
def test_its_hospitals_are_made_by_the_command_line(run, tmp_path):
    code, out = run("cohort", tmp_path / "data", "--task", "fundus", "--set", "seed=3")
    assert code == 0
    assert [line.partition("\t")[0] for line in out.splitlines()] == ["harbor", "valley", "island"]
    assert len(list((tmp_path / "data/island").glob("*_left.png"))) == 8
    with pytest.raises(ConfigurationError, match="no option spacing"):
        synthetic_cohort("fundus").specify({"spacing": 2.0})


def test_its_jobs_are_in_the_catalog():
    endings = ("fedavg", "check", "stats", "evaluate")
    assert list(task_jobs(get_task("fundus"))) == [f"fundus_{one}" for one in endings]
    assert build_recipe("fundus_fedavg", {"learning.edge_pixels": 64}).settings.learning.edge_pixels == 64
    with pytest.raises(ConfigurationError, match="spacing_mm"):
        build_recipe("fundus_fedavg", {"learning.spacing_mm": 2.0})


def test_statistics_are_of_brightness_and_grades(archives, tmp_path):
    task = get_task("fundus")
    given = gather_statistics(
        site(archives["harbor"], tmp_path), task, progress=lambda *_: None, cancelled=lambda: False
    )
    assert list(given.features) == ["brightness_left", "brightness_right", "grade_patient"]
    for feature in given.features:
        assert sum(given.histogram(feature)) == pytest.approx(30, abs=5)  # whole groups of patients


def test_counts_in_scores_are_of_as_many_patients_as_other_counts(archives, tmp_path):
    """A task of means would answer about three."""
    for number, (minimum, evaluated) in enumerate([(3, 8), (8, 8)]):
        one = site(archives["island"], tmp_path / str(number), role="evaluates", min_count=minimum)
        assert len(prepare_site(one, learning()).test) == evaluated
    few = site(archives["island"], tmp_path / "few", role="evaluates", min_count=9)
    with pytest.raises(SiteRefusal, match="scores would be of fewer than 9 patients, which its min_count"):
        prepare_site(few, learning())
    data = prepare_site(site(archives["harbor"], tmp_path / "harbor", min_count=30), learning())
    assert (data.role, data.validation, data.validated) == ("trains", (), None)
    assert data.held_back > few.min_training_patients


def test_counts_of_two_hospitals_add_up_to_their_kappa():
    evaluation = get_task("fundus").evaluation
    one = evaluation.summarize([{"true_0_found_0": 1.0}, {"true_4_found_4": 1.0}, {"true_2_found_3": 1.0}])
    other = evaluation.summarize([{"true_1_found_1": 1.0}, {"true_4_found_0": 1.0}])
    both = evaluation.combine([one, other])
    assert both["accuracy"] == 3 / 5
    assert both["kappa"] == pytest.approx(1 - 17 / (139 / 5))
    assert read_scores(one, evaluation, final=True, cases=3) == one
    with pytest.raises(ValueError, match="add up to 3"):
        read_scores(one, evaluation, final=True, cases=4)


def test_new_photographs_are_graded_in_a_table_and_no_file_is_made(run, island, tmp_path):
    (island / "grades.csv").unlink()
    (island / "island-01_right.png").unlink()
    settings = learning()
    weights = initial_weights(get_task("fundus"), settings, 0)
    save_model(tmp_path / "model.safetensors", weights, {"learning": settings.model_dump_json()})
    words = ("-m", tmp_path / "model.safetensors", "-i", island, "-o", tmp_path / "out")
    code, _ = run("predict", *words, "--mirror")
    assert code == 1
    header, *rows = (line.split(",") for line in (tmp_path / "out/predictions.csv").read_text().splitlines())
    assert header == ["case", "grade", *(f"probability_{grade}" for grade in range(5)), "model"]
    assert len(rows) == 7
    assert all(sum(map(float, row[2:7])) == pytest.approx(1, abs=1e-3) for row in rows)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {".consilium", "about.json", "findings.csv", "predictions.csv"}
    assert "island-01" in (tmp_path / "out/findings.csv").read_text()
    assert run("predict", *words, "--pictures")[0] == 2
    eyes = [f"{eye}={island}/island-02_{eye}.png" for eye in ("left", "right")]
    assert run("predict", *words[:2], "-i", eyes[0], "-i", eyes[1], "-o", tmp_path / "one")[0] == 0


@pytest.mark.long
def test_a_model_is_evaluated_by_counts_and_kappa(run, page_text, island, tmp_path):
    (island / "island-01_right.png").unlink()
    settings = learning()
    weights = initial_weights(get_task("fundus"), settings, 0)
    save_model(tmp_path / "model.safetensors", weights, {"learning": settings.model_dump_json()})
    code, out = run("evaluate", "-m", tmp_path / "model.safetensors", island, "-o", tmp_path / "out")
    assert (code, out) == (1, f"{tmp_path}/out/evaluation.html\n")
    header, *rows = (line.split(",") for line in (tmp_path / "out/evaluation.csv").read_text().splitlines())
    assert header == ["case", "patient", "confusion", "model"]
    assert len(rows) == 7
    found = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert sum(found["summary"]["counts"].values()) == 7
    accuracy = found["summary"]["measures"]["accuracy"]
    right = sum(count for name, count in found["summary"]["counts"].items() if name[5] == name[-1])
    assert accuracy["mean"] == pytest.approx(right / 7)
    assert accuracy["interval"][0] <= accuracy["mean"] <= accuracy["interval"][1]
    assert found["left_out"] == {"missing_image": 1}
    text = page_text(tmp_path / "out/evaluation.html")
    assert "Kappa" in text
    assert OTHER_KINDS.findall(text) == []
    (island / "grades.csv").unlink()
    assert run("evaluate", "-m", tmp_path / "model.safetensors", island, "-o", tmp_path / "none")[0] == 2
