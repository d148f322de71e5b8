"""Texts that a site can send: each is from a known set, or is listed here with what bounds it."""

import pytest

from consilium.records.evaluation import SiteEvaluation
from consilium.records.federation import SiteReport
from consilium.records.progress import StateMessage
from consilium.records.readiness import SiteReadiness
from consilium.records.statistics import SiteAnswer, SiteHistogram

SENTENCE = "a sentence to people in one cleaned line, shown as the site's"
CODES = "`CodeCounts`: other names become `other`"
PACKAGES, VERSION = "`Versions`: those of `VERSIONED`", "`Versions`: a number and what belongs to it"
METRICS = "`TaskAnswers` and `check_evaluation`: the task's metrics"
KNOWN = "`known_word`: the task's own"
SUBGROUPS = "the hospital's own attributes and values, of `SUBGROUP_NAME`'s few characters"

TEXTS = {
    SiteReport: {
        "intervals (names)": METRICS,
        "gain.local (names)": METRICS,
        "gain.federated (names)": METRICS,
        "gain.gains (names)": METRICS,
        "left_out (names)": CODES,
        "missing_targets[]": "`TaskAnswers`: the targets of the task, with the first scores",
        "numbers (names)": "`TrainingRun`: those that the algorithm declares",
        "versions (names)": PACKAGES,
        "versions.*": VERSION,
    },
    SiteReadiness: {
        "reason": SENTENCE,
        "left_out (names)": CODES,
        "noted (names)": CODES,
        "accepted (names)": CODES,
        "layout": KNOWN,
        "label_convention": KNOWN,
        "missing_targets[]": KNOWN,
        "versions (names)": PACKAGES,
        "versions.*": VERSION,
    },
    SiteAnswer: {
        "left_out (names)": CODES,
        "label_convention": KNOWN,
        "reason": SENTENCE,
        "versions (names)": PACKAGES,
        "versions.*": VERSION,
    },
    SiteHistogram: {},
    SiteEvaluation: {
        "whole.measures (names)": METRICS,
        "whole.counts (names)": METRICS,
        "subgroups (names)": SUBGROUPS,
        "subgroups.* (names)": SUBGROUPS,
        "subgroups.*.*.measures (names)": METRICS,
        "subgroups.*.*.counts (names)": METRICS,
        "withheld (names)": SUBGROUPS,
        "gains (names)": METRICS,
        "note": SENTENCE,
        "left_out (names)": CODES,
        "versions (names)": PACKAGES,
        "versions.*": VERSION,
    },
    StateMessage: {"state": SENTENCE},
}


def free_texts(schema, definitions, place=""):
    """Where a message may hold a text that is not one of a few: a value, or the names of a mapping."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[-1]]
    for part in (*schema.get("anyOf", ()), *schema.get("allOf", ()), *schema.get("prefixItems", ())):
        yield from free_texts(part, definitions, place)
    if schema.get("type") == "string" and not {"enum", "const"} & schema.keys():
        yield place
    for name, part in schema.get("properties", {}).items():
        yield from free_texts(part, definitions, f"{place}.{name}" if place else name)
    if schema.get("type") == "object" and "properties" not in schema:
        yield f"{place} (names)"
        values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
        for part in values:
            if isinstance(part, dict):
                yield from free_texts(part, definitions, f"{place}.*")
    if isinstance(schema.get("items"), dict):
        yield from free_texts(schema["items"], definitions, f"{place}[]")


@pytest.mark.parametrize("model", TEXTS)
def test_every_text_of_a_site_is_bounded_by_something(model):
    schema = model.model_json_schema()
    assert set(free_texts(schema, schema.get("$defs", {}))) == TEXTS[model].keys()
