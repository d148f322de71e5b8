import re
import zlib

import pytest

from consilium.records.federation import SiteRound
from consilium.report.training.one_page import render_summary
from consilium.report.training.summary import summarize_study
from report.study import baselines, federation, scores, site_report
from report.training.answers.studies import compared

ACTIVE = (b"/JavaScript", b"/JS", b"/Launch", b"/OpenAction", b"/AA", b"/URI", b"/EmbeddedFile", b"/AcroForm")


def unpacked(pdf: bytes) -> bytes:
    """A PDF with its compressed parts in clear."""
    parts = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, flags=re.DOTALL)
    clear = []
    for part in parts:
        try:
            clear.append(zlib.decompress(part))
        except zlib.error:
            clear.append(part)
    return pdf + b"\n".join(clear)


def test_it_is_one_page_without_anything_active_and_without_a_trace_of_this_machine() -> None:
    pdf = render_summary(compared(aster=0.05, birch=0.0, cedar=-0.03))
    assert pdf.startswith(b"%PDF-")
    content = unpacked(pdf)
    assert len(re.findall(rb"/Type /Page\b", content)) == 1
    assert not [word for word in ACTIVE if word in content]
    for trace in (b"/home", b"/tmp", b"/work", b"/CreationDate", b"/Producer", b"/Creator"):
        assert trace not in content
    assert b"study report" in pdf


@pytest.mark.long
def test_the_same_study_is_the_same_file() -> None:
    report = compared(aster=0.05, birch=0.0, cedar=-0.03)
    assert render_summary(report) == render_summary(report)


@pytest.mark.long
@pytest.mark.parametrize("hospitals", [pytest.param(1, marks=pytest.mark.long), 60])
def test_any_number_of_hospitals_fits_on_the_page(hospitals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.text",
        lambda self, x, y, text, **style: drawn.append((text, y)),
    )
    record = federation(rounds=1)
    longest = "x" * 128
    for place in range(hospitals):
        name = f"{place}-{longest}"[:128]
        for sites in (record.rounds[0].sites, record.final_sites):
            sites[name] = SiteRound(outcome="trained", report=site_report("aster", left_out={"truncated": 3}))
        record.final_scores[name] = scores(0.5 + place / 200)
    render_summary(summarize_study(record, baselines=baselines(), seconds={}))
    titles = [text for text, _ in drawn if text.startswith("Federated ")]
    assert len(titles) == 1  # a page that is too long is measured, not drawn
    assert min(place for _, place in drawn) > 0.02
    text = " ".join(line for line, _ in drawn)
    assert "Can I trust this table?" in text
    assert "not for clinical use" in text


@pytest.mark.long
def test_a_run_without_a_model_has_a_page_too() -> None:
    failed = federation(1, status="failed", reason="few", final_scores={}, final_sites={}, best_round=None)
    failed.rounds.clear()
    assert render_summary(summarize_study(failed, baselines=None, seconds={})).startswith(b"%PDF-")
