import pytest

from consilium.errors import RefusalCode
from consilium.records.federation import SiteRound
from consilium.report.training.participation import RoundPart, list_participation
from consilium.report.training.summary import summarize_study
from report.study import federation


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (SiteRound(outcome="refused", code=RefusalCode.UPDATE), "rejected"),
        (SiteRound(outcome="refused", code=RefusalCode.REPEATED_UPDATE), "rejected"),
        (SiteRound(outcome="refused", code=RefusalCode.SCORES), "rejected"),
        (SiteRound(outcome="refused", code=RefusalCode.FEW_PATIENTS_A_ROUND), "missed"),
        (SiteRound(outcome="excluded", code=RefusalCode.EXCLUDED), "missed"),
        (SiteRound(outcome="no answer", code=RefusalCode.LATE), "missed"),
        (None, "missed"),
    ],
)
def test_a_rejected_answer_is_distinguished_from_one_that_did_not_arrive(
    answer: SiteRound | None, part: RoundPart
) -> None:
    record = federation(rounds=3)
    del record.rounds[1].sites["birch"]
    if answer is not None:
        record.rounds[1].sites["birch"] = answer
    report = summarize_study(record, baselines=None, seconds={})
    parts = {one.site: one for one in list_participation(report)}
    assert parts["birch"].parts == ("trained", part, "trained")
    assert (parts["birch"].trained, parts["birch"].rejected + parts["birch"].missed) == (2, 1)
    assert parts["dahlia"].parts == ("evaluated",) * 3
