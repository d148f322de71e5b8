from consilium.report.training.service_figure import arrange_service
from consilium.report.training.summary import summarize_study
from report.study import federation, scores


def test_the_worst_hospital_is_first_and_targets_span_the_score() -> None:
    figure = arrange_service(summarize_study(federation(), baselines=None, seconds={}))
    assert figure is not None
    assert [row.site for row in figure.rows] == ["dahlia", "cedar", "birch", "aster"]
    assert [row.is_worst for row in figure.rows] == [True, False, False, False]
    for row in figure.rows:
        assert row.ends is not None
        assert row.ends[0] < row.place < row.ends[1]
        assert row.weakest is not None
        assert row.weakest[0] == "Enhancing tumor"
    assert figure.best == figure.rows[-1].place
    assert [tick.value for tick in figure.ticks][-1] == 1.0  # a share is shown on its whole range


def test_equal_hospitals_have_no_worst_and_those_without_a_score_are_named() -> None:
    record = federation(final_scores={"aster": scores(0.8), "birch": scores(0.8)})
    figure = arrange_service(summarize_study(record, baselines=None, seconds={}))
    assert figure is not None
    assert not any(row.is_worst for row in figure.rows)
    assert figure.unknown == ("cedar", "dahlia")
