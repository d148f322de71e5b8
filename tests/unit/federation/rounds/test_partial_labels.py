"""A job with a hospital whose labels lack a region."""

import pytest
from nvflare.apis.dxo import MetaKey
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import TRAIN
from consilium.records.model_comparison import key_scores
from federation.rehearsal import Site, outcomes

MISSING = {"missing_targets": ["et"]}


class Partial(Site):
    """Sends scores of the whole tumor and its core alone; how its report changes depends on the round."""

    def __init__(self, later=None, **options):
        super().__init__(**options, **MISSING)
        self.later = later

    def __call__(self, task, model):
        if self.later is not None and task == TRAIN and model.current_round == 1:
            self.report = {"missing_targets": self.later}
        answer = FLModelUtils.from_shareable(super().__call__(task, model))
        answer.meta.pop(MetaKey.INITIAL_METRICS, None)  # what FLARE read before
        answer.metrics = {name: value for name, value in answer.metrics.items() if not name.endswith("_et")}
        return FLModelUtils.to_shareable(answer)


def test_scores_are_of_the_sites_that_have_them_and_select_the_best_model(run):
    best = {1: 0.9, 2: 0.4}
    dice = lambda value: best.get(round(value), 0.3)  # noqa: E731 - of the model by its first weight
    record, _ = run({"north": Site(dice=dice), "south": Partial(dice=dice)})
    assert record.status == "finished"
    assert record.best_round == 1
    for number in (1, 2, 3):
        assert key_scores(record, number).keys() == {"north", "south"}
        south = record.rounds[number - 1].scores["south"]
        assert south.keys() == {"dice", "dice_tc", "dice_wt"}
    assert "dice_et" in record.final_scores["north"]
    assert "hd95_et" not in record.final_scores["south"]
    assert record.rounds[0].sites["south"].report.missing_targets == ["et"]
    assert outcomes(record, "south") == ["trained"] * 3


@pytest.mark.parametrize("later", [[], ["tc"], ["et", "tc"], ["edema"]])
def test_a_site_that_names_other_regions_than_at_first_is_rejected(run, later):
    record, _ = run({"north": Site(), "east": Site(), "south": Partial(later=later)})
    assert outcomes(record, "south")[1] == "refused"
    assert "other missing targets than at first" in record.rounds[1].sites["south"].reason


@pytest.mark.parametrize(
    ("missing", "said"),
    [(["edema"], "unknown"), (["tc", "wt", "et"], "all targets are missing"), (["\x1b[2J"], "can't be read")],
)
def test_targets_that_can_t_be_missing_are_rejected(run, missing, said):
    south = Site(missing_targets=missing)
    record, _ = run({"north": Site(), "east": Site(), "south": south})
    assert said in record.preparation["south"].reason
    assert record.preparation["south"].outcome == "refused"
