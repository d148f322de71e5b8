"""A report of a record that somebody damaged or made up: a page, or an error that names the fault."""

import copy
import json
from contextlib import contextmanager
from html.parser import HTMLParser

import pytest
from anything import shows_no_control
from effort import examples
from federation.readiness import readiness, site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilium.errors import ConfigurationError
from consilium.records.bounds import MissingSite
from consilium.records.federation import FEDERATION_FILE, SiteRound
from consilium.records.job_record import load_record
from consilium.records.outcome import determine_outcome
from consilium.records.readiness import READINESS_FILE
from consilium.records.site_status import STATUS_FOLDER, Refusal, SiteStatus, read_site_status
from consilium.records.statistics import STATISTICS_FILE
from consilium.report.readiness.table import terminal_tables
from consilium.report.statistics import page as statistics_page
from consilium.report.status.site import describe_site
from consilium.report.terminal import Terminal
from consilium.report.training import build, curves
from consilium.report.write import write_report
from report.statistics.records import record as statistics
from report.study import federation, site_gain, site_report

SCRIPT = "<script>alert(1)</script>"
VALUES = (
    None, True, False, 0, 1, -1, 2, 99, 10**9, 10**15, 10**30, 0.5, -0.5, 5e-324, 1e-300, 1e9, -1e9, 1e308,
    -1e308, "", "x", "finished", "$x^{", "\x1b[2J", SCRIPT, f"x' onload='{SCRIPT}\" {{{{ 7*7 }}}}",
    "y" * 5000, "\u202e", [], [None], [[]], [1, 2], ["a", "b"], {}, {"": 0}, {"a": {}}, {SCRIPT: 1},
    {"a": SCRIPT}, list(range(2000)), {f"x{place}": place for place in range(500)},
)  # fmt: skip
RAW = (
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "9" * 5000,
    "[" * 500 + "]" * 500,
    '{"a":' * 30 + "1" + "}" * 30,
)
MISSING = object()
DRAW = statistics_page._draw
FIGURES, SUMMARY = build.write_figures, build.render_summary
DRAWN = [
    *((name, False) for name in (FEDERATION_FILE, READINESS_FILE, STATISTICS_FILE)),
    pytest.param(FEDERATION_FILE, True, marks=pytest.mark.long),
]


def training():
    declined = SiteRound(outcome="refused", reason="few patients", left_out={"unreadable": 2})
    local = {
        one: SiteRound(outcome="evaluated", report=site_report(one, gain=site_gain(0.7, 0.8, 3, width=0.01)))
        for one in ("aster", "birch")
    }
    one = federation(2, local_only={**local, "cedar": declined}, excluded=["dahlia"])
    one.rounds[0].sites["elm"] = declined
    one.rounds[1].rolled_back = "it was worse"
    one.settings["aggregation"] = {"rule": "mean", "max_site_share": 0.5}
    return FEDERATION_FILE, one


def check():
    grid = {"shape": [240, 240, 155], "spacing_mm": [1.0, 1.0, 1.0]}
    north = site("train", usable_cases=4, left_out={"unreadable": None}, layout="brats", grid=grid)
    one = readiness(north=north, south="evaluate")
    one.missing["west"] = MissingSite(reason="it is away")
    return READINESS_FILE, one


def survey():
    return STATISTICS_FILE, statistics({"north": 12, "south": 8}, missing={"west": "it is away"})


RECORDS = {made[0]: json.loads(made[1].model_dump_json()) for made in (training(), check(), survey())}


def places(content, path=()):
    """Every container and leaf, those of the same kind in a long list or beside each other once."""
    yield path
    if isinstance(content, dict):
        shown = list(content)
        for key in shown:
            yield from places(content[key], (*path, key))
    elif isinstance(content, list):
        for index in dict.fromkeys([0, len(content) - 1] if content else []):
            yield from places(content[index], (*path, index))


PLACES = {name: [path for path in places(content) if path] for name, content in RECORDS.items()}


def damage(content, path, value):
    """A copy with one value replaced, or without it."""
    result = copy.deepcopy(content)
    at = result
    for key in path[:-1]:
        at = at[key]
    if value is MISSING:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return result


class Page(HTMLParser):
    """Fails on what only a text of a record would bring into a page."""

    def handle_starttag(self, tag, attrs):
        assert tag != "script"
        assert not [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(autouse=True, scope="module")
def without_drawing():
    """Drawing takes a second; tests that do it say so, with `drawn`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "draw_curves", lambda report, path, palette: path.write_bytes(b"png"))
        patch.setattr(build, "write_figures", lambda folder, report: None)
        patch.setattr(build, "render_summary", lambda report: b"pdf")
        patch.setattr(statistics_page, "_draw", lambda features, group, sites: ())
        yield


@contextmanager
def drawing(drawn):
    """Draw the figures and the summary within a block after all, if so."""
    with pytest.MonkeyPatch.context() as patch:
        if drawn:
            patch.setattr(build, "write_figures", FIGURES)
            patch.setattr(build, "render_summary", SUMMARY)
        yield


def report(folder, name, text):
    """Whether there is a report; else there was an error for the person who asked for it."""
    (folder / name).parent.mkdir(exist_ok=True)
    for other in RECORDS:
        (folder / other).unlink(missing_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    try:
        record = load_record(folder)
    except ConfigurationError as error:
        message = str(error)
        assert str(folder / name) in message
        assert len(message) < 20_000
        return False
    outcome = determine_outcome(record)
    assert all(shows_no_control(str(reason)) for reason in outcome.reasons)
    Page().feed(write_report(folder / "report", record).read_text())
    if name == READINESS_FILE:
        with Terminal().capture():
            Terminal().print(terminal_tables(record))
    return True


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("name", RECORDS)
def test_the_record_as_it_was_written_has_a_report(folder, name):
    with drawing(True):
        assert report(folder, name, json.dumps(RECORDS[name]))


@pytest.mark.hypothesis
@pytest.mark.parametrize(("name", "drawn"), DRAWN)
def test_a_damaged_field_gives_a_page_or_a_named_fault(folder, name, drawn):
    @settings(max_examples=examples(120), suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PLACES[name]), st.integers(0, len(VALUES)))
    def try_one(path, which):
        value = MISSING if which == len(VALUES) else VALUES[which]
        report(folder, name, json.dumps(damage(RECORDS[name], path, value)))

    with drawing(drawn):
        try_one()


@pytest.mark.quick_cases(1)
@pytest.mark.hypothesis
@pytest.mark.parametrize(("name", "drawn"), DRAWN)
def test_two_damaged_fields_do_as_well(folder, name, drawn):
    @settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
    @given(st.data())
    def try_two(data):
        content = RECORDS[name]
        for _ in range(2):
            path = data.draw(st.sampled_from([path for path in places(content) if path]))
            content = damage(content, path, data.draw(st.sampled_from(VALUES)))
        report(folder, name, json.dumps(content))

    with drawing(drawn):
        try_two()


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("raw", RAW, ids=[one[:12] for one in RAW])
def test_what_no_number_or_record_may_be_is_an_error(folder, name, raw):
    key = {FEDERATION_FILE: "settings", READINESS_FILE: "created", STATISTICS_FILE: "settings"}[name]
    text = json.dumps(damage(RECORDS[name], (key,), "HERE")).replace('"HERE"', raw)
    assert not report(folder, name, text)


@pytest.mark.parametrize(
    ("name", "path", "value", "expected"),
    [
        (
            FEDERATION_FILE,
            ("best_round",),
            99,
            r"best_round: allowed: null or a round from 1 to 2 \(seen: 99\)",
        ),
        (FEDERATION_FILE, ("rounds", 1, "number"), 5, r"rounds\.1\.number: allowed: 2, in order \(seen: 5\)"),
        (FEDERATION_FILE, ("settings", "learning"), 3, r"settings: learning is not a group of settings"),
        (
            FEDERATION_FILE,
            ("final_scores", "aster", "dice"),
            1e308,
            r"final_scores\.aster\.dice: allowed: 1000000000\.0 or less \(seen: 1e\+308\)",
        ),
        (STATISTICS_FILE, ("features", "x"), {}, r"features\.x\.group: it is missing"),
    ],
)
def test_the_error_names_field_and_what_is_allowed(folder, name, path, value, expected):
    (folder / "one").mkdir(exist_ok=True)
    (folder / "one" / name).write_text(json.dumps(damage(RECORDS[name], path, value)))
    with pytest.raises(ConfigurationError, match=expected):
        load_record(folder / "one")
    (folder / "one" / name).unlink()


def test_histograms_of_different_lengths_are_an_error(folder):
    feature = next(iter(RECORDS[STATISTICS_FILE]["features"]))
    path = ("features", feature, "sites", "north", "bins")
    assert not report(
        folder, STATISTICS_FILE, json.dumps(damage(RECORDS[STATISTICS_FILE], path, [0.0, 12.0]))
    )


@pytest.mark.long
def test_a_histogram_of_a_site_without_an_answer_is_shown(tmp_path):
    """An aborted job may have one without the other."""
    content = damage(RECORDS[STATISTICS_FILE], ("sites", "south"), MISSING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics_page, "_draw", DRAW)
        assert report(tmp_path, STATISTICS_FILE, json.dumps(content))


@pytest.mark.long
@pytest.mark.parametrize("extreme", [-1e9, 5e-324, 1e9])
def test_extreme_values_can_be_drawn(tmp_path, extreme):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "draw_curves", curves.draw_curves)
        patch.setattr(build, "write_figures", FIGURES)
        patch.setattr(build, "render_summary", SUMMARY)
        content = copy.deepcopy(RECORDS[FEDERATION_FILE])
        for one in content["rounds"]:
            one["scores"]["aster"]["dice"] = extreme
            one["sites"]["aster"]["report"]["loss"] = extreme
        assert report(tmp_path, FEDERATION_FILE, json.dumps(content))


@pytest.mark.hypothesis
def test_a_damaged_status_of_a_site_is_shown_or_passed_over(tmp_path):
    """Of the jobs that a site took part in; what it says of one may be damaged, and the others are shown."""
    metrics = RECORDS[FEDERATION_FILE]["metrics"]
    one = SiteStatus(
        job_id="job-1", job="a", log="log.txt", since=1, updated=1, left_out={"unreadable": 1}, train_cases=3,
        validation_cases=2, metrics=metrics, gain=site_gain(0.7, 0.8, 3), patient_gains=[0.1, 0.2],
        refusals=[Refusal(by="site", reason="no", task="train", round=1, time=1)],
    )  # fmt: skip
    one.save(tmp_path)
    path = tmp_path / STATUS_FOLDER / "job-1.json"
    content = json.loads(path.read_text())

    @settings(max_examples=examples(200), suppress_health_check=list(HealthCheck))
    @given(st.sampled_from([path for path in places(content) if path]), st.sampled_from((*VALUES, MISSING)))
    def try_one(place, value):
        path.write_text(json.dumps(damage(content, place, value)))
        for found in read_site_status(tmp_path):
            assert isinstance(found.lost, bool)
            assert all(isinstance(line, str) for line in describe_site(found))
            json.dumps(found.as_json())

    try_one()
