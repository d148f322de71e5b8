"""Records, reports and federations know no problem by name; that is in the task's folder."""

import re
from pathlib import Path

import pytest

import consilium

NAMES = re.compile(
    r"(?<![a-z])(dice|hd95|flair|t1ce|wt|tumou?rs?|brain|edema|enhancing|regions?|modalit(y|ies))(?![a-z])",
    re.I,
)

OTHERS = {
    "report/data_check": "findings by image, as the cases' format names it",
    "report/templates/data_check.html.j2": "findings by image, as the cases' format names it",
}
"""What is named in the words of one kind of problem until another one needs it."""

JOB = re.compile(r"brain_tumor(_\w+)?|consilium\.tasks\.brain_tumor[\w.]*")
"""Names of jobs and tasks in examples, and the demo's cohort."""


@pytest.mark.parametrize("package", ["records", "report", "simulation", "federation"])
def test_no_metric_target_or_input_is_known_by_name(package: str) -> None:
    root = Path(consilium.__file__).parent
    found = []
    for file in sorted((root / package).rglob("*")):
        place = file.relative_to(root).as_posix()
        if file.suffix not in (".py", ".j2", ".css") or any(place.startswith(other) for other in OTHERS):
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if NAMES.search(JOB.sub("", line)):
                found.append(f"{place}:{number}: {line.strip()}")
    assert found == []
