import pytest

from consilium.tasks.brain_tumor.synthetic import DEMO_COHORT, Scanner, Sequence
from consilium.tasks.brain_tumor.synthetic.signal import TISSUES, tissue_signal

SCANNERS = [hospital.scanner for hospital in DEMO_COHORT.hospitals]


def _signals(sequence: Sequence, scanner: Scanner, *, agent: bool = False) -> dict[str, float]:
    return {
        name: abs(tissue_signal(tissue, sequence, tesla=scanner.tesla, agent=agent))
        for name, tissue in TISSUES.items()
    }


@pytest.mark.parametrize("scanner", SCANNERS, ids=["aster", "birch", "cedar", "dahlia"])
class TestEveryDemoScanner:
    def test_t1_shows_white_over_gray_over_csf(self, scanner: Scanner) -> None:
        t1 = _signals(scanner.t1, scanner)
        assert t1["white"] > 1.05 * t1["gray"]
        assert t1["gray"] > 1.2 * t1["csf"]
        assert t1["edema"] < t1["white"]

    def test_t2_shows_csf_over_gray_over_white(self, scanner: Scanner) -> None:
        t2 = _signals(scanner.t2, scanner)
        assert t2["csf"] > 1.5 * t2["gray"]
        assert t2["gray"] > 1.15 * t2["white"]
        assert t2["edema"] > 1.3 * t2["gray"]

    def test_flair_nulls_csf_and_shows_edema(self, scanner: Scanner) -> None:
        flair = _signals(scanner.flair, scanner)
        assert flair["csf"] < 0.5 * flair["white"]
        assert flair["edema"] > 1.25 * flair["gray"]

    def test_agent_lights_up_the_rim_only(self, scanner: Scanner) -> None:
        before, after = _signals(scanner.t1, scanner), _signals(scanner.t1, scanner, agent=True)
        assert after["enhancing"] > 1.4 * before["enhancing"]
        assert after["enhancing"] > 1.15 * after["white"]
        assert after["white"] == pytest.approx(before["white"], rel=0.05)
        assert after["necrosis"] < after["white"]
