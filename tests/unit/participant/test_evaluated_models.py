"""How many models a hospital evaluates in all."""

import numpy as np
import pytest
from learning.tiny import site

from consilium.errors import DataError, RefusalCode, SiteRefusal
from consilium.participant.evaluated_models import LEDGER_FILE, admit_model, digest_weights


@pytest.fixture
def hospital(tmp_path):
    return site(tmp_path, [], max_evaluated_models=3)


def model(value):
    return {"weight": np.full((2, 2), value, np.float32)}


def test_many_slightly_different_models_meet_an_end(hospital):
    for number in range(3):
        admit_model(hospital, model(number * 1e-6))
    with pytest.raises(SiteRefusal, match="max_evaluated_models") as refused:
        admit_model(hospital, model(1.0))
    assert refused.value.code is RefusalCode.MANY_MODELS
    assert refused.value.code.lasts


def test_the_same_model_asks_nothing_new(hospital):
    for _ in range(1000):
        admit_model(hospital, model(0.5))
    admit_model(hospital, model(1.0))


def test_a_hospital_can_evaluate_none(hospital):
    with pytest.raises(SiteRefusal):
        admit_model(hospital.model_copy(update={"max_evaluated_models": 0}), model(0.5))


def test_nothing_is_evaluated_without_the_list(hospital):
    admit_model(hospital, model(0.5))
    (hospital.state_dir / LEDGER_FILE).write_text("{")
    with pytest.raises(DataError, match="damaged"):
        admit_model(hospital, model(0.5))


def test_names_shapes_and_types_make_other_models():
    weights = {"a": np.zeros((2, 3), np.float32)}
    others = [
        {"b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((3, 2), np.float32)},
        {"a": np.zeros((2, 3), np.int32)},
        {"a": np.ones((2, 3), np.float32)},
    ]
    assert len({digest_weights(one) for one in (weights, *others)}) == 5
    assert digest_weights(weights) == digest_weights({"a": np.asfortranarray(weights["a"])})
