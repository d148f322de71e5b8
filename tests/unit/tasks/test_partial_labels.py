"""Labels that lack some targets: the loss and the scores of the others."""

import pytest
import torch
from learning.tiny import LEARNING

from consilium.errors import ConfigurationError
from consilium.tasks import get_task
from consilium.tasks.partial_labels import build_loss, check_missing_targets, partial_evaluation

TASK = get_task("brain_tumor")
TARGETS = [one.name for one in TASK.targets]
CASE = {"dice_tc": 0.2, "dice_wt": 0.6, "dice_et": 1.0}


def tensors():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    return logits, (torch.rand(2, 3, 4, 4, 4, generator=generator) > 0.5).float()


@pytest.mark.parametrize("missing", [["et"], ["tc", "et"], ["wt"]])
def test_a_missing_region_has_no_part_in_the_loss_and_no_gradient(missing):
    loss = build_loss(TASK.method, LEARNING, missing)
    logits, target = tensors()
    logits.requires_grad_()
    value = loss(logits, target)
    value.backward()
    other = target.clone()
    for place, name in enumerate(TARGETS):
        assert logits.grad[:, place].any() == (name not in missing)
        if name in missing:
            other[:, place] = 1 - other[:, place]
    assert loss(logits, other) == value


def test_the_loss_of_labels_that_have_all_regions_is_the_tasks():
    logits, target = tensors()
    assert build_loss(TASK.method, LEARNING, [])(logits, target) == TASK.method.build_loss(LEARNING)(
        logits, target
    )


def test_a_task_without_such_a_loss_says_so():
    with pytest.raises(ConfigurationError, match="can't be learned from labels without et"):
        build_loss(object(), LEARNING, ["et"])


def test_scores_are_of_the_other_regions_and_their_mean():
    evaluation = partial_evaluation(TASK.evaluation, ["et"])
    assert evaluation.restrict({**CASE, "dice": 0.6}) == {
        "dice": pytest.approx(0.4),
        "dice_tc": 0.2,
        "dice_wt": 0.6,
    }
    summary = evaluation.summarize([evaluation.restrict(CASE), {"dice_tc": 0.4, "dice_wt": 0.6}])
    assert summary == {"dice": pytest.approx(0.45), "dice_tc": pytest.approx(0.3), "dice_wt": 0.6}
    assert all(one.target != "et" for one in (*evaluation.metrics.metrics, *evaluation.measures))
    assert evaluation.bins.keys() == {one.name for one in evaluation.measures}


def test_a_region_alone_still_selects_models():
    evaluation = partial_evaluation(TASK.evaluation, ["tc", "et"])
    assert evaluation.restrict(CASE) == {"dice": 0.6, "dice_wt": 0.6}


def test_sites_together_have_each_score_of_those_that_have_it():
    whole = TASK.evaluation.complete(CASE)
    part = partial_evaluation(TASK.evaluation, ["et"]).complete({"dice_tc": 0.4, "dice_wt": 0.8})
    together = TASK.evaluation.combine([whole, part])
    assert together == {
        "dice": pytest.approx((0.3 + 0.7 + 1.0) / 3),
        "dice_tc": pytest.approx(0.3),
        "dice_wt": pytest.approx(0.7),
        "dice_et": 1.0,
    }


@pytest.mark.parametrize(
    ("missing", "said"),
    [(["edema"], "'edema' unknown; allowed: tc, wt, et"), (TARGETS, "nothing to learn from")],
)
def test_names_that_can_t_be_missing_are_rejected_with_those_that_can(missing, said):
    with pytest.raises(ConfigurationError, match=said):
        check_missing_targets(TASK.targets, missing)
