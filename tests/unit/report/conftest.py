from pathlib import Path

import pytest

from consilium.report.training import build


@pytest.fixture
def without_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds of charts, figures and the PDF, where a test reads the page alone."""
    monkeypatch.setattr(build, "draw_curves", lambda report, path, palette: Path(path).write_bytes(b"png"))
    monkeypatch.setattr(build, "write_figures", lambda folder, report: None)
    monkeypatch.setattr(build, "render_summary", lambda report: b"pdf")
