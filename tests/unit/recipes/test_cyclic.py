"""The job of cyclic weight transfer: what it has by default, and what it refuses."""

import pytest

from consilium.errors import ConfigurationError
from consilium.recipes.catalog import build_recipe
from consilium.recipes.cyclic import CyclicRecipe
from consilium.recipes.recognition import recognize_recipe

JOB = "brain_tumor_cyclic"


def test_a_job_is_recognized_as_its_own_recipe_s():
    found = recognize_recipe(build_recipe(JOB, {"rounds": 30}).files())
    assert isinstance(found, CyclicRecipe)
    assert found.settings.rounds == 30


def test_up_to_four_hospitals_have_the_same_number_of_several_turns():
    rounds = build_recipe(JOB).settings.rounds
    assert [rounds % hospitals for hospitals in (2, 3, 4)] == [0, 0, 0]
    assert rounds // 4 >= 6


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *(
            ({"aggregation.rule": rule}, rf"aggregation\.rule '{rule}' combines several updates")
            for rule in ("median", "trimmed_mean", "clipped_mean")
        ),
        ({"aggregation.max_site_share": 0.5}, r"max_site_share limits .* allowed: 1"),
        ({"rounds": 3, "min_sites": 4}, "some would have none"),
        ({"min_sites": 1}, "min_sites"),
        ({"quorum.attempts": 1}, "the first hospital that misses its turn would end the job"),
    ],
)
def test_what_makes_no_sense_with_one_update_a_round_is_refused_by_name(change, reason):
    with pytest.raises(ConfigurationError, match=reason):
        build_recipe(JOB, change)
