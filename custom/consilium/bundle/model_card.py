"""Model card of a bundle, its `docs/README.md`: what the model is, of what, and how well it does where."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version

from consilium.bundle.evidence import Evidence
from consilium.bundle.options import NOT_CLINICAL, BundleOptions
from consilium.counts import counted
from consilium.learning.algorithms import Withheld, algorithm_caution, withheld_by
from consilium.learning.initial_model import Origin
from consilium.learning.standalone import Standalone
from consilium.records.federation import FederationRecord, SiteReport
from consilium.records.score_intervals import ScoreInterval
from consilium.report.privacy.protection import state_protection
from consilium.tasks.bundling import BundleContent
from consilium.tasks.metrics import Metric

_RUN = """```sh
cd {name}
python -m monai.bundle run --config_file configs/inference.json --dataset_dir /data/new --output_dir found
python -m monai.bundle run --config_file "['configs/inference.json','configs/evaluate.json']" \\
    --dataset_dir /data/labeled --output_dir scores
```"""


def write_card(name: str, evidence: Evidence, content: BundleContent, options: BundleOptions) -> str:
    """Return the model card in Markdown.

    Args:
        name: Of the bundle.
        evidence: What is known of the job.
        content: What follows from the task.
        options: What a user states.
    """
    sections = (
        _title(name, evidence, options),
        _use(name, content),
        _training(evidence),
        _results(evidence),
        _privacy(evidence),
        _origin(evidence),
        _files(evidence, options),
        _references(content),
    )
    return "\n\n".join("\n".join(lines) for lines in map(list, sections) if lines) + "\n"


def _title(name: str, evidence: Evidence, options: BundleOptions) -> Iterator[str]:
    yield f"# {plain(name)}"
    yield ""
    yield f"**{NOT_CLINICAL}**"
    yield ""
    task = evidence.model.task
    yield f"{plain(task.title)}: {', '.join(plain(one.title) for one in task.targets)}."
    yield f"Intended use: {plain(options.purpose)}"


def _use(name: str, content: BundleContent) -> Iterator[str]:
    yield "## Use"
    yield ""
    packages = ", ".join(f"`{one}`" for one in ("monai", *content.packages))
    yield f"Needs Python and the packages {packages}; not Consilium."
    yield ""
    yield _RUN.format(name=shlex.quote(one_line(name)))
    yield ""
    yield "Or, with Consilium's checks of the images: `consilium predict -m FOLDER -i DIR -o OUT`."
    yield ""
    yield content.usage


def _training(evidence: Evidence) -> Iterator[str]:
    model, record = evidence.model, evidence.record
    yield "## Training"
    yield ""
    rows = [("model", model.learning.summary), ("rounds", "unknown" if model.round is None else model.round)]
    if record is not None:
        algorithm = record.settings.get("algorithm", {})
        rows = [
            ("job", record.job),
            ("algorithm", algorithm.get("name", "unknown") if isinstance(algorithm, dict) else "unknown"),
            ("aggregation", _aggregation(record)),
            *rows,
            ("rounds of the job", f"{len(record.rounds)} of {record.rounds_planned}, {record.status}"),
        ]
    yield from _table(("what", "value"), rows)
    if model.learning.caution:
        yield ""
        yield plain(model.learning.caution)
    if record is None:
        yield ""
        yield from _without_record(model.standalone)
        return
    yield ""
    withheld = withheld_by(record.settings.get("algorithm"))
    yield from _table(
        ("site", "part", "cases trained on", "cases validated on", "cases tested on"),
        [_site(name, one, withheld) for name, one in sorted(evidence.reports.items())],
    )
    if withheld.scores:
        yield ""
        yield plain(withheld.explanation)


def _without_record(trained: Standalone | None) -> Iterator[str]:
    if trained is None:
        yield "The record of its job was not at hand: sites, patients and results are unknown."
        return
    yield f"Trained without a federation, as a {trained.kind} model, on cases of"
    yield f"{plain(', '.join(trained.sites))}. Its results are not part of this card."


def _aggregation(record: FederationRecord) -> str:
    stated = record.settings.get("aggregation")
    return str(stated.get("rule", "unknown")) if isinstance(stated, dict) else "unknown"


def _site(name: str, report: SiteReport, withheld: Withheld) -> tuple[str, ...]:
    part = "trains and evaluates" if report.role == "trains" else "evaluates only"
    known = "withheld" if report.train_cases is None else str(report.train_cases)
    trained = known if report.role == "trains" else ""
    validated = "withheld" if withheld.scores else "too few to state"
    held = ((report.validation_cases, validated), (report.test_cases, "too few to state"))
    return name, part, trained, *(why if count is None else str(count) for count, why in held)


def _results(evidence: Evidence) -> Iterator[str]:
    record, scores, intervals = evidence.record, evidence.scores, evidence.intervals
    if record is None:
        return
    yield "## Results"
    yield ""
    if scores:
        yield from _results_are_of(evidence)
    else:
        yield "No site sent scores of this model."
    if caution := algorithm_caution(record.settings.get("algorithm")):
        yield ""
        yield plain(caution)
    for title, metrics in record.metrics.shown.items():
        known = [one for one in metrics if any(one.name in of_site for of_site in scores.values())]
        if not known:
            continue
        yield ""
        yield from _table(
            ("site", *(_column(one, record) for one in known)),
            [
                (site, *(_value(one, of_site.get(one.name), intervals.get(site, {})) for one in known))
                for site, of_site in (*scores.items(), ("mean over sites", evidence.mean_scores))
            ],
        )
        if definition := record.metrics.definitions.get(title):
            yield ""
            yield plain(definition)


def _column(metric: Metric, record: FederationRecord) -> str:
    target = record.metrics.targets.get(metric.target or "", "")
    return f"{metric.label} {target}".strip()


def _results_are_of(evidence: Evidence) -> Iterator[str]:
    if evidence.scored_on == "validation":
        yield "Means over the validation patients of each site, who also choose the best model: they were not"
        yield "trained on, and the results are not those of a test set."
        return
    yield "Means over the test patients of each site, in brackets the 95 % interval over patients where there"
    yield "are enough: they were not trained on, and chose no model. They are of the job's own sites: this is"
    yield "no external validation."
    earlier = {site: one.earlier_models for site, one in evidence.reports.items() if one.earlier_models}
    for site, models in sorted(earlier.items()):
        yield f"The same patients of {plain(site)} were used to evaluate {counted(models, 'model')} before."


def _value(metric: Metric, value: float | None, intervals: Mapping[str, ScoreInterval]) -> str:
    if value is None:
        return ""
    interval = intervals.get(metric.name)
    within = f" ({metric.text(interval.low)} to {metric.text(interval.high)})" if interval else ""
    return f"{metric.text(value)}{within}"


def _privacy(evidence: Evidence) -> Iterator[str]:
    yield "## Privacy"
    yield ""
    if evidence.model.standalone is not None:
        yield "Trained in one place, with access to all images that it was trained on. No noise was added to"
        yield "the weights: a model can reveal something about the patients that it was trained on."
        return
    yield "No image left a hospital. Hospitals sent weights, counts, and means over at least as many patients"
    yield "as each of them demands, with intervals where there are enough."
    stated = state_protection(evidence.record.settings) if evidence.record else ""
    yield plain(stated or "How updates were protected isn't known: no record of the job says it.")
    yield "A model can reveal something about the patients that it was trained on; noise limits how much."


def _origin(evidence: Evidence) -> Iterator[str]:
    yield "## Origin"
    yield ""
    model = evidence.model
    start = [f"Random weights, seed {model.learning.seed}."]
    steps = [_step(one) for one in model.origin] or start
    resumed = evidence.record.resumed if evidence.record else []
    own = f"Job {plain(evidence.job)}, {_rounds(model.round)}: this model." + "".join(
        f" It resumed job {plain(one.job)} after round {one.after_round}." for one in resumed
    )
    yield from (f"{number}. {step}" for number, step in enumerate((*steps, own), 1))


def _step(one: Origin) -> str:
    rounds = "" if one.round is None else f", {_rounds(one.round)}"
    license_ = f"; license: {plain(one.license)}" if one.license else ""
    return f"{plain(one.name)}{rounds}; `{one.digest}`{license_}."


def _rounds(number: int | None) -> str:
    return "an unknown number of rounds" if number is None else counted(number, "round")


def _files(evidence: Evidence, options: BundleOptions) -> Iterator[str]:
    yield "## Versions and files"
    yield ""
    record = evidence.record
    versions = (
        record.versions if record else {name: version(name) for name in ("consilium", "monai", "torch")}
    )
    rows = [
        ("bundle", options.version),
        ("SHA-256 of models/model.safetensors", evidence.model.digest),
        *versions.items(),
        ("license of the weights", options.license or "not stated: ask the authors"),
    ]
    yield from _table(("what", "value"), rows)
    yield ""
    yield "`sha256sum -c checksums.sha256` checks all files. `models/model.pt` and `models/model.ts` hold the"
    yield "same weights as a state dict and as TorchScript, for MONAI's tools."


def _references(content: BundleContent) -> Iterator[str]:
    if content.references:
        yield "## References"
        yield ""
        yield from (f"- {one}" for one in content.references)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(map(plain, cells))} |"


def plain(text: object) -> str:
    r"""Return a text from elsewhere as one that means nothing in Markdown or HTML, on one line.

    Example:
        >>> print(plain("<b>a</b> | [b](c)"))
        &lt;b&gt;a&lt;/b&gt; \| \[b\](c)
    """
    return html.escape(re.sub(r"([\\|\[\]*`~$])", r"\\\1", one_line(text)), quote=False)


def one_line(text: object) -> str:
    """Return a text without control characters, such as those that turn the direction of what follows."""
    return "".join(one if one.isprintable() else " " for one in str(text))
