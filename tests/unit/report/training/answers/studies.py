"""Studies whose hospitals gain and lose as a test says."""

from consilium.records.federation import BaselineRecord
from consilium.records.gain import SiteGain
from consilium.report.training.study import StudyReport
from consilium.report.training.summary import summarize_study
from report.study import FINAL_DICE, baselines, federation, site_gain


def compared(**gains: SiteGain | float) -> StudyReport:
    """A study in which hospitals gain so much, with an interval of 0.02 to both sides of 20 patients."""
    made = {
        site: site_gain(FINAL_DICE[site] - gain, FINAL_DICE[site], 20, 0.02)
        if isinstance(gain, float)
        else gain
        for site, gain in gains.items()
    }
    local = {site: {site: one.local} for site, one in made.items()}
    record = BaselineRecord.model_validate(
        baselines().model_dump() | {"gains": made, "patient_gains": {}, "local": local}
    )
    return summarize_study(federation(), baselines=record, seconds={})
