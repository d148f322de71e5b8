"""Metrics of a task: each one's range and direction, and how sites' results combine."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from consilium.errors import ConfigurationError

MOST_METRICS: Final = 200
"""Most metrics of a task, including counts; an answer with more scores is rejected."""

Scores = dict[str, float]
"""Values by metric."""

_Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
_Words = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]
_Bound = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]


class Metric(BaseModel):
    """One metric of a task.

    Attributes:
        name: Its name in scores, such as `dice_lesion`.
        title: Its name for people, without target and unit: `Dice`. Metrics of one title stand together.
        low: Its lowest value.
        high: Its highest value; of a count, that of the largest site.
        higher_is_better: Its direction.
        unit: `mm`; empty for a plain number.
        digits: Decimals that are shown.
        target: Name of the target that it measures; None for the overall metric.
        final_only: Whether only the final model is measured, because it is expensive.
        combines: How sites' values make one: their `mean`, each site counting the same; their `sum`, for
            counts; `derived`, from the combined values of others, such as kappa from a confusion matrix.
        mean_of: The metrics that it is the mean of, if it is one. It is always computed from them, never
            accepted from a site.
        table: The table that a count belongs to. Each case is counted once in each table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Key
    title: _Words
    low: _Bound = 0.0
    high: _Bound = 1.0
    higher_is_better: bool = True
    unit: Annotated[str, Field(max_length=20, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    digits: int = Field(default=3, ge=0, le=9)
    target: _Key | None = None
    final_only: bool = False
    combines: Literal["mean", "sum", "derived"] = "mean"
    mean_of: tuple[_Key, ...] = ()
    table: _Key | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"{self.name}: low must be below high")
        if (self.combines == "sum") != (self.table is not None):
            raise ValueError(
                f"{self.name}: a metric that combines as a sum needs a table, and no other has one"
            )
        return self

    @property
    def is_measured(self) -> bool:
        """Whether sites measure it; the others are computed from these."""
        return self.combines != "derived" and not self.mean_of

    @property
    def is_count(self) -> bool:
        """Whether it is a number of cases."""
        return self.combines == "sum"

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over several others; the mean of one is only another name for it."""
        return len(self.mean_of) > 1

    @property
    def label(self) -> str:
        """The title with the unit: `HD95, mm`."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def gain(self, value: float, reference: float) -> float:
        """Return by how much a value is better than another; negative where it is worse.

        Example:
            >>> Metric(name="loss", title="Loss", higher_is_better=False).gain(0.25, 0.75)
            0.5
        """
        return value - reference if self.higher_is_better else reference - value

    def gain_text(self, gain: float) -> str:
        """Return a gain as it is shown, with its sign."""
        return f"{gain:+.{self.digits}f}"

    def text(self, value: float) -> str:
        """Return a value as it is shown, without its unit."""
        return f"{value:.{self.digits}f}"


class MetricSet(BaseModel):
    """All metrics of a task, in the order in which they are shown. Records hold them beside the scores.

    Attributes:
        metrics: The metrics.
        key: The one that selects models; it is measured in every round.
        gained: Those in which a hospital's gain is reported, including the key.
        targets: Name of each target -> its title, in order.
        nothing_learned: Value of the key metric at or beyond which a model is useless; None if there is no
            such value.
        definitions: Title of a metric -> its definition for readers, in sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: tuple[Metric, ...] = Field(min_length=1, max_length=MOST_METRICS)
    key: _Key
    gained: tuple[_Key, ...] = Field(min_length=1, max_length=MOST_METRICS)
    targets: dict[_Key, _Words] = Field(default_factory=dict, max_length=MOST_METRICS)
    nothing_learned: _Bound | None = None
    definitions: dict[_Words, Annotated[str, Field(max_length=1000)]] = Field(
        default_factory=dict, max_length=20
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [one.name for one in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError("two metrics have the same name")
        used = {self.key, *self.gained, *(part for one in self.metrics for part in one.mean_of)}
        if used - set(names):
            raise ValueError(f"no metric is named {', '.join(sorted(used - set(names)))}")
        if self.key not in self.gained:
            raise ValueError("the key metric must be one of `gained`")
        if self[self.key].is_count or self[self.key].final_only:
            raise ValueError("the key metric must be a score of every round")
        if {one.target for one in self.metrics if one.target} - self.targets.keys():
            raise ValueError("a metric names a target that is missing in `targets`")
        return self

    def __getitem__(self, name: str) -> Metric:
        """Return a metric by its name."""
        return next(one for one in self.metrics if one.name == name)

    @property
    def has_counts(self) -> bool:
        """Whether scores contain counts of cases, each of which may be about one patient."""
        return any(one.is_count for one in self.metrics)

    @property
    def minimum_setting(self) -> Literal["min_training_patients", "min_count"]:
        """The hospital's setting of the fewest patients behind scores.

        Counts in scores, such as a confusion matrix, reveal as much as the counts that `min_count` is for.
        """
        return "min_count" if self.has_counts else "min_training_patients"

    @property
    def key_metric(self) -> Metric:
        """The metric that selects models."""
        return self[self.key]

    @property
    def shown(self) -> dict[str, list[Metric]]:
        """The metrics that people are shown, by title, that of the key metric first.

        No counts, and of a task with a single target no metric of this target beside the overall one, which
        is the same number.
        """
        single = {part for one in self.metrics if one.mean_of and not one.is_mean for part in one.mean_of}
        groups: dict[str, list[Metric]] = defaultdict(list)
        groups[self.key_metric.title] = []
        for one in self.metrics:
            if not one.is_count and one.name not in single:
                groups[one.title].append(one)
        return dict(groups)

    @property
    def key_name(self) -> str:
        """The key metric in a sentence: `mean Dice` where it is a mean over targets."""
        key = self.key_metric
        return f"mean {key.title}" if key.is_mean else key.title

    def in_round(self, *, final: bool) -> list[Metric]:
        """Return the metrics of a round's model, or of the final one."""
        return [one for one in self.metrics if final or not one.final_only]

    def without_targets(self, missing: Collection[str]) -> MetricSet:
        """Return the metrics without those of some targets; means over targets are over the others.

        Args:
            missing: Names of the targets.

        Raises:
            ConfigurationError: If the key metric is of them alone.

        Example:
            >>> parts = [Metric(name=name, title="Dice", target=name[5:]) for name in ("dice_a", "dice_b")]
            >>> dice = Metric(name="dice", title="Dice", mean_of=("dice_a", "dice_b"))
            >>> names = {"a": "A", "b": "B"}
            >>> both = MetricSet(metrics=[dice, *parts], key="dice", gained=["dice"], targets=names)
            >>> both.without_targets(["b"])["dice"].mean_of
            ('dice_a',)
        """
        lost = {one.name for one in self.metrics if one.target in missing}
        lost |= {one.name for one in self.metrics if one.mean_of and lost.issuperset(one.mean_of)}
        if self.key in lost:
            raise ConfigurationError(f"without {', '.join(sorted(missing))} there is no {self.key}")
        return MetricSet(
            metrics=tuple(
                one.model_copy(update={"mean_of": tuple(part for part in one.mean_of if part not in lost)})
                for one in self.metrics
                if one.name not in lost
            ),
            key=self.key,
            gained=tuple(name for name in self.gained if name not in lost),
            targets={name: title for name, title in self.targets.items() if name not in missing},
            nothing_learned=self.nothing_learned,
            definitions=self.definitions,
        )

    def means(self, scores: Mapping[str, float]) -> Scores:
        """Return the metrics that are means of others, as far as scores have all of these."""
        return {
            one.name: float(np.mean([scores[part] for part in one.mean_of]))
            for one in self.metrics
            if one.mean_of and all(part in scores for part in one.mean_of)
        }

    def arrange(self, scores: Mapping[str, float]) -> Scores:
        """Return scores in the metrics' order, without any that are none of them."""
        return {one.name: scores[one.name] for one in self.metrics if one.name in scores}

    def without_counts(self, scores: Mapping[str, float]) -> Scores:
        """Return the scores that people are shown: no counts."""
        counts = {one.name for one in self.metrics if one.is_count}
        return {name: value for name, value in scores.items() if name not in counts}

    def summarize(self, rows: Iterable[Mapping[str, float]], patients: Sequence[str] | None = None) -> Scores:
        """Average what cases scored, and add up their counts; derived metrics are the task's to add.

        Args:
            rows: The scores of each case.
            patients: Whose each is, as a patient counts once in a mean; None where each has a single case.

        Returns:
            Empty when there are no cases.

        Example:
            >>> metrics = MetricSet(metrics=[Metric(name="loss", title="Loss")], key="loss", gained=["loss"])
            >>> metrics.summarize([{"loss": 0.0}, {"loss": 0.5}, {"loss": 0.75}], ["a", "b", "b"])
            {'loss': 0.3125}
        """
        rows = list(rows)
        if not rows:
            return {}
        owners = range(len(rows)) if patients is None else patients
        cases = Counter[str | int](owners)
        weights = [1 / cases[one] for one in owners]
        scores = {
            one.name: _combine([row.get(one.name) for row in rows], one.is_count, weights)
            for one in self.metrics
            if one.is_measured and (one.is_count or one.name in rows[0])
        }
        return self.arrange({**scores, **self.means(scores)})

    def combine(self, sites: Sequence[Mapping[str, float]]) -> Scores:
        """Combine sites' scores; derived metrics are the task's to add.

        A score is of the sites that have it, as labels of some may lack a target; a mean over targets is
        computed from what is combined of each. Counts are of all sites or of none.

        Example:
            >>> metrics = MetricSet(metrics=[Metric(name="loss", title="Loss")], key="loss", gained=["loss"])
            >>> metrics.combine([{"loss": 0.25}, {"loss": 0.75}])
            {'loss': 0.5}
        """
        combined: Scores = {}
        for one in self.metrics:
            values = [site[one.name] for site in sites if one.name in site]
            if one.combines == "derived" or not values or (one.is_count and len(values) < len(sites)):
                continue
            combined[one.name] = _combine(values, one.is_count)
        return self.arrange({**combined, **self.means(combined)})


def _combine(values: Sequence[float | None], is_count: bool, weights: Sequence[float] | None = None) -> float:
    if is_count:
        return float(sum(value or 0 for value in values))
    shares = [1.0] * len(values) if weights is None else weights
    known = [(value, share) for value, share in zip(values, shares, strict=True) if value is not None]
    return float(np.average([value for value, _ in known], weights=[share for _, share in known]))
