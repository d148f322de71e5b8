"""What is written for the data-protection officer: no claim that it can't keep, nothing gone stale."""

import re
from pathlib import Path

import pytest

from consilium.cli.main import app
from consilium.records.bounds import MOST_ENTRIES
from consilium.report.privacy.statement import (
    DataFlow,
    HospitalProtection,
    OfferedProtection,
    PrivacyStatement,
    SpentBudget,
    StatementSection,
)

ROOT = Path(__file__).parents[2]
PRIVACY = (ROOT / "docs/privacy.md").read_text()
TEMPLATE = (ROOT / "docs/dpia-template.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("custom/consilium/report/**/*.j2")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_calls_a_model_or_an_update_anonymous(page):
    """Whether a model holds personal data is assessed case by case: EDPB opinion 28/2024."""
    assert "anonym" not in page.read_text().lower()


@pytest.mark.parametrize("part", ["(a)", "(b)", "(c)", "(d)"])
def test_the_template_has_each_part_that_article_35_asks_for(part):
    assert re.search(rf"^## \d\. .*\(Article 35\(7\){re.escape(part)}\)$", TEMPLATE, re.MULTILINE)


def test_every_command_of_the_template_exists():
    commands = {re.sub(r"\W.*", "", one) for one in re.findall(r"consilium ([a-z-]+)", TEMPLATE)}
    known = {one.name or one.callback.__name__ for one in app.registered_commands}
    assert {one for one in commands if one} <= {one.replace("_", "-") for one in known} | {"check"}
    assert "privacy" in known


@pytest.mark.parametrize(
    ("place", "model"),
    [
        ("flows[]", DataFlow),
        ("sections[]", StatementSection),
        ("protection", OfferedProtection),
        ("hospital", HospitalProtection),
        ("budget", SpentBudget),
    ],
)
def test_the_keys_that_programs_may_rely_on_are_those_of_the_file(place, model):
    listed = re.search(rf"`{re.escape(place)}\.{{([\w,]+)}}`", PRIVACY)
    assert listed[1].split(",") == list(model.model_fields)
    assert place.removesuffix("[]") in PrivacyStatement.model_fields


def test_lists_of_a_statement_are_bounded():
    with pytest.raises(ValueError, match=f"at most {MOST_ENTRIES}"):
        StatementSection(key="x", heading="x", sentences=("x",) * (MOST_ENTRIES + 1))
