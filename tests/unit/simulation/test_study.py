"""What a study says of its models."""

from report.study import baselines, federation, scores

from consilium.simulation.study import compare_models


def test_models_are_compared_over_the_same_hospitals():
    """One that only evaluates has no model of its own."""
    final = {"aster": scores(0.8), "birch": scores(0.7), "dahlia": scores(0.1)}
    alone = {"aster": {"aster": 0.6}, "birch": {"birch": 0.5, "dahlia": 0.2}}
    record = federation(final_scores=final)
    pooled = baselines(alone).model_copy(update={"pooled": {**final, "aster": scores(0.9)}})
    assert compare_models(pooled, record) == (
        "on the test cases of aster, birch: own models, mean Dice 0.550; "
        "the federation's model, mean Dice 0.750; pooled, mean Dice 0.800"
    )
