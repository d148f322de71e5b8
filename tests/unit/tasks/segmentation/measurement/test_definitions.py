"""The page of the metrics says what the definitions say, and the bins hold every value that can occur."""

from pathlib import Path

import numpy as np
import pytest

from consilium.tasks.brain_tumor.lesions import PENALTY_MM
from consilium.tasks.histograms import enclose_mean
from consilium.tasks.segmentation.measurement.definitions import case_metrics

PAGE = Path(__file__).parents[5] / "docs" / "metrics.md"


def short(source):
    return source.split(", ")[0]


def in_page(metric):
    """The metric's row of the table."""
    empty = [metric.when_empty.reference, metric.when_empty.prediction, metric.when_empty.both]
    values = ", ".join("as defined" if one is None else f"{one:g}" for one in empty)
    if metric.source_of_empty != "as the definition has it":
        values += f" ({short(metric.source_of_empty)})"
    cells = [
        f"`{metric.name}`",
        metric.title,
        metric.unit or "none",
        f"{metric.low:g} to {metric.high:g}",
        metric.better,
        metric.definition,
        values,
        short(metric.source),
        f"{len(metric.bins.edges) - 1}",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_page_has_all_metrics_as_they_are_defined():
    table = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert table == [in_page(metric) for metric in case_metrics(374)]


def test_the_page_lists_the_sources():
    sources = {
        one for metric in case_metrics(374) for one in (metric.source, metric.source_of_empty) if ", " in one
    }
    listed = {line.removeprefix("- ") for line in PAGE.read_text().splitlines() if line.startswith("- ")}
    assert sources <= listed


@pytest.mark.parametrize("metric", case_metrics(374), ids=lambda metric: metric.name)
def test_bins_cover_the_range(metric):
    assert (metric.bins.edges[0], metric.bins.edges[-1]) == (metric.low, metric.high)
    assert metric.better in ("higher", "lower", "zero", "none")


def test_a_mean_with_a_missed_lesion_is_as_exact_as_others():
    bins = {metric.name: metric.bins for metric in case_metrics(374)}
    values = np.array([1.4, 2.2, 3.0, 4.1, PENALTY_MM])
    found = enclose_mean([bins["hd95"].count(values)])
    assert found.error < 0.25
    assert abs(found.middle - values.mean()) < 0.25
