"""A report's page as a test reads it."""

from collections.abc import Mapping
from html.parser import HTMLParser

from consilium.records.federation import BaselineRecord, FederationRecord
from consilium.report.training.page import PatientView, render_page
from consilium.report.training.summary import summarize_study


class Page(HTMLParser):
    """What a browser would make of a page: its elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(
    record: FederationRecord,
    *,
    baselines: BaselineRecord | None = None,
    patients: Mapping[str, PatientView] | None = None,
) -> str:
    report = summarize_study(record, baselines=baselines, seconds={})
    return render_page(
        report,
        curves=b"light",
        dark_curves=b"dark",
        patients=patients or {},
        patient_gains={} if baselines is None else baselines.patient_gains,
    )
