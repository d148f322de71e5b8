"""How many models may be evaluated on a hospital's patients, and that the hospital remembers them."""

import signal
import subprocess
import sys

import numpy as np
import pytest

from consilium.errors import DataError, RefusalCode, SiteRefusal
from consilium.participant.evaluation_log import EvaluationLog, digest_weights
from consilium.participant.register_content import REGISTER_FILE
from consilium.participant.register_files import open_register


def model(value):
    return {"w": np.full(3, value, np.float32)}


def limited(site, most):
    return site.model_copy(update={"max_evaluated_models": most})


def test_a_job_has_its_final_and_its_best_model_evaluated_and_no_other(site):
    for value in (1, 2, 1, 2):  # a repeated question is no further look
        assert EvaluationLog(site, "a job").admit_trained(model(value)) == 0
    with pytest.raises(SiteRefusal, match="2 models of this job") as caught:
        EvaluationLog(site, "a job").admit_trained(model(3))
    assert caught.value.code is RefusalCode.TESTED


def test_training_ends_with_the_first_look(site):
    EvaluationLog(site, "a job").require_none()
    EvaluationLog(site, "a job").admit_trained(model(1))
    with pytest.raises(SiteRefusal, match="training after that"):
        EvaluationLog(site, "a job").require_none()
    EvaluationLog(site, "another job").require_none()


def test_a_look_at_a_known_model_ends_training_as_well(site):
    EvaluationLog(site, "first").admit_trained(model(1))
    EvaluationLog(site, "second").admit_trained(model(1))
    with pytest.raises(SiteRefusal, match="training after that"):
        EvaluationLog(site, "second").require_none()


def test_the_models_of_jobs_before_are_counted(site):
    for number, job in enumerate(["first", "second", "third"]):
        assert EvaluationLog(site, job).admit_trained(model(number)) == number
    assert EvaluationLog(site, "third").admit_trained(model(9)) == 2


def test_the_same_models_in_a_resumed_job_are_no_further_look(site):
    for value in (1, 2):
        EvaluationLog(site, "interrupted").admit_trained(model(value))
    for value in (1, 2):
        assert EvaluationLog(site, "resumed").admit_trained(model(value)) == 0
    for value in (3, 4):
        EvaluationLog(site, "resumed").admit_trained(model(value))
    with pytest.raises(SiteRefusal):
        EvaluationLog(site, "resumed").admit_trained(model(5))


@pytest.mark.long
def test_more_than_200_slightly_different_models_meet_an_end(site):
    for number in range(site.max_evaluated_models):
        EvaluationLog(site, f"job {number % 20}").admit_received(model(number * 1e-6), "test")
    for number in range(200, 220):
        with pytest.raises(SiteRefusal, match="max_evaluated_models") as refused:
            EvaluationLog(site, f"job {number}").admit_received(model(number * 1e-6), "test")
        assert refused.value.code is RefusalCode.MANY_MODELS
        assert refused.value.code.lasts
    EvaluationLog(site, "last").admit_received(model(0), "test")  # known


def test_the_same_model_counts_once(site):
    for number in range(100):
        EvaluationLog(limited(site, 2), f"job {number}").admit_received(model(0.5), "test")
    EvaluationLog(limited(site, 2), "another").admit_received(model(1), "test")
    with pytest.raises(SiteRefusal):
        EvaluationLog(limited(site, 2), "another").admit_received(model(2), "test")


def test_a_hospital_can_evaluate_none(site):
    EvaluationLog(site, "before").admit_received(model(1), "test")
    with pytest.raises(SiteRefusal):
        EvaluationLog(limited(site, 0), "a job").admit_received(model(1), "test")


def test_models_of_a_training_take_no_place_of_an_evaluation(site):
    for number in range(5):
        EvaluationLog(site, f"training {number}").admit_trained(model(number))
    assert EvaluationLog(limited(site, 1), "evaluation").admit_received(model(9), "test") == 5
    assert EvaluationLog(site, "last training").admit_trained(model(10)) == 6


def test_a_model_on_validation_patients_is_limited_and_is_no_look_at_test_patients(site):
    assert EvaluationLog(limited(site, 1), "evaluation").admit_received(model(1), "validation") == 0
    with pytest.raises(SiteRefusal):
        EvaluationLog(limited(site, 1), "evaluation").admit_received(model(2), "validation")
    assert EvaluationLog(limited(site, 1), "later").admit_received(model(1), "test") == 0
    assert EvaluationLog(site, "training").admit_trained(model(2)) == 1


@pytest.mark.long
def test_a_site_killed_while_it_evaluates_has_counted_the_model(site, tmp_path):
    """kill -9 between the log's write and the answer."""
    program = (
        "import os, signal, sys\n"
        "import numpy as np\n"
        "from consilium.participant.evaluation_log import EvaluationLog\n"
        "from consilium.participant.site_settings import SiteSettings\n"
        "site = SiteSettings.model_validate_json(sys.argv[1])\n"
        "EvaluationLog(site, 'killed').admit_received({'w': np.full(3, 1, np.float32)}, 'test')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, site.model_dump_json()],
        capture_output=True,
        text=True,
        cwd=str(tmp_path),
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    EvaluationLog(limited(site, 1), "again").admit_received(model(1), "test")
    with pytest.raises(SiteRefusal):
        EvaluationLog(limited(site, 1), "again").admit_received(model(2), "test")


def test_nothing_is_evaluated_without_the_log(site):
    EvaluationLog(site, "a job").admit_received(model(1), "test")
    (site.state_dir / REGISTER_FILE).write_text("{")
    for admit in (
        EvaluationLog(site, "a job").admit_trained,
        lambda weights: EvaluationLog(site, "a job").admit_received(weights, "test"),
    ):
        with pytest.raises(DataError, match="damaged"):
            admit(model(1))


def test_one_file_holds_the_models_of_every_job(site):
    EvaluationLog(site, "training").admit_trained(model(1))
    EvaluationLog(site, "evaluation").admit_received(model(2), "test")
    with open_register(site) as register:
        assert [(one.job, one.kind) for one in register.models] == [
            ("training", "training"),
            ("evaluation", "evaluation"),
        ]
    assert not list(site.state_dir.glob("evaluated*"))


def test_names_shapes_and_types_make_other_models():
    weights = {"a": np.zeros((2, 3), np.float32)}
    others = [
        {"b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((3, 2), np.float32)},
        {"a": np.zeros((2, 3), np.int32)},
        {"a": np.ones((2, 3), np.float32)},
        {"a": np.zeros((2, 3), np.float32), "b": np.zeros(0, np.float32)},
    ]
    assert len({digest_weights(one) for one in (weights, *others)}) == 6
    assert digest_weights(weights) == digest_weights({"a": np.asfortranarray(weights["a"])})
