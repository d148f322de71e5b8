from consilium.errors import RefusalCode
from consilium.records.federation import SiteRound
from consilium.report.training.summary import summarize_study
from consilium.report.training.trust_figure import arrange_trust
from report.study import federation, site_report


def test_every_hospital_has_its_cases_its_rounds_and_what_is_missing() -> None:
    record = federation()
    record.rounds[1].sites["birch"] = SiteRound(outcome="refused", reason="odd", code=RefusalCode.UPDATE)
    del record.rounds[2].sites["birch"]
    record.final_sites["cedar"] = SiteRound(
        outcome="evaluated", report=site_report("cedar", left_out={"truncated": 4}, test_cases=None)
    )
    rows = {row.site: row for row in arrange_trust(summarize_study(record, baselines=None, seconds={}))}
    assert rows["aster"].counts == (10, 4, 4, 0)
    assert sum(width for _, _, width in rows["aster"].bar) == 100
    assert [part for part, *_ in rows["aster"].bar] == ["training", "validation", "scored"]
    assert [part for part, *_ in rows["dahlia"].bar] == ["scored"]
    assert not rows["aster"].has_flaw
    assert rows["birch"].rounds == ("trained", "rejected", "missed", "trained", "trained")
    assert rows["birch"].took_part == (3, 5)
    assert rows["birch"].remarks == ("1 update rejected", "1 round missed")
    assert rows["birch"].has_flaw
    assert (rows["cedar"].evaluated, rows["cedar"].left_out) == ("withheld", "4")
    assert "scores withheld: too few patients" in rows["cedar"].remarks
    assert (rows["dahlia"].remarks, rows["dahlia"].has_flaw) == (("only evaluates",), False)


def test_many_rounds_are_counted_and_have_no_marks() -> None:
    rows = arrange_trust(summarize_study(federation(rounds=41), baselines=None, seconds={}))
    assert {row.rounds for row in rows} == {()}
    assert {row.took_part for row in rows} == {(41, 41)}
