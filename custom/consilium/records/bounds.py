"""Bounded types for everything that another site sends.

A model made of these types rejects what is out of bounds with a `ValidationError`, and cleans and shortens
texts. Numbers are not coerced: no text, no truth value and no array becomes one. NaN and infinity are no
numbers here, as JSON has neither and a record that holds them can't be read back.

The limits are far above what any hospital has, and far below what harms a reader: one claim of
10**15 cases would otherwise be the whole mean.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from consilium.counts import counted
from consilium.data.codes import find_code
from consilium.errors import RefusalCode
from consilium.records.texts import LONGEST_REASON, clean_text
from consilium.settings import MAX_SITES
from consilium.tasks import registry as registry  # so that the codes of its tasks are known

MOST_CASES: Final = 1_000_000
"""Of one site; the largest collections of images of one kind have some 100,000 patients."""

MOST_STEPS: Final = 10_000_000
"""Optimizer steps of one round, and steps of any progress."""

MOST_BYTES: Final = 2**63 - 1
LONGEST_SECONDS: Final = 30 * 24 * 3600.0
"""Of one task: 30 days."""

LARGEST_LOSS: Final = 1e9
LARGEST_SCORE: Final = 1e9
"""As a task's metrics may range (`tasks.metrics`)."""

LONGEST_SPAN: Final = 1e11
"""Seconds: 3,000 years, as in `Moment`."""

DEEPEST: Final = 16
"""Levels of a job's settings; the recipes write ten."""

MOST_NUMBERS: Final = 64
"""That an algorithm may ask for beside the difference."""

MOST_ENTRIES: Final = 256
"""Of any mapping or list that has no closer limit."""

MOST_SETTINGS: Final = 10_000
"""Values of a job's settings, groups included."""

_LONGEST_KEY: Final = 200

OTHER_CODE: Final = "other"
"""Replaces codes that this version doesn't know; see `CodeCounts` and `known_word`."""

VERSIONED: Final = ("python", "consilium", "nvflare", "monai", "torch")
"""What a site reports the version of; all sites of a federation report the same packages."""


class Record(BaseModel):
    """Base of records: unknown fields and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


def _clean(text: object, longest: int) -> str:
    if not isinstance(text, str):
        raise ValueError("not a text")
    return clean_text(text, longest)


def limit_entries(values: object, most: int) -> object:
    """Look at the length of a mapping or list before anything is made of its entries."""
    if isinstance(values, Mapping | list | tuple) and len(values) > most:
        raise ValueError(f"{counted(len(values), 'entry', 'entries')}, and at most {most} are allowed")
    return values


def _check_tree(content: object) -> object:
    """Look at what has no model here, level by level: plain JSON, and no more of it than a job has."""
    level, entries = [content], 0
    for _ in range(DEEPEST):
        level = [child for one in level for child in _children(one)]
        entries += len(level)
        if entries > MOST_SETTINGS:
            raise ValueError(f"more than {MOST_SETTINGS} values")
        if not level:
            return content
    raise ValueError(f"nested more than {DEEPEST} levels deep")


def _children(value: object) -> list[object]:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) and len(key) <= _LONGEST_KEY for key in value):
            raise ValueError(f"a key is no text of at most {_LONGEST_KEY} characters")
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number that is not finite")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("a value that JSON does not know")
    return []


def _fold_codes(counts: object) -> object:
    if not isinstance(counts, Mapping):
        return counts
    limit_entries(counts, MOST_ENTRIES)
    folded: dict[str, Any] = {}
    for code, count in counts.items():
        if not (count is None or (type(count) is int and 0 <= count <= MOST_CASES)):
            raise ValueError("a count is not a number of cases")
        known = code if isinstance(code, str) and find_code(code) else OTHER_CODE
        if known in folded:  # only `other`: a number that is withheld hides the sum as well
            before = folded[known]
            count = None if before is None or count is None else min(before + count, MOST_CASES)
        folded[known] = count
    return folded


def _known_code(code: object) -> RefusalCode | None:
    try:
        return RefusalCode(code) if isinstance(code, str) else None
    except ValueError:
        return None


def _check_packages(versions: dict[str, str]) -> dict[str, str]:
    if versions.keys() - set(VERSIONED):
        raise ValueError(f"only versions of {', '.join(VERSIONED)} are reported")
    return versions


Code = Annotated[RefusalCode | None, BeforeValidator(_known_code)]
"""Why a site has no part in something; None if unknown, or if the code is of another version."""

CaseCount = Annotated[int, Field(strict=True, ge=0, le=MOST_CASES)]
"""A number of cases or patients."""

MinimumCount = Annotated[int, Field(strict=True, ge=1, le=MOST_CASES)]
"""Fewest cases or patients of something.

A bound of its own: in `CaseCount = Field(ge=1)` the type's bound of 0 would win.
"""

WithheldCount = CaseCount | None
"""The same; None where it is below the hospital's minimum, and so never left it."""

StepCount = Annotated[int, Field(strict=True, ge=0, le=MOST_STEPS)]
RoundNumber = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
"""A round, from 1 (0: before the first), or a number of rounds or attempts."""

RoundCount = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
"""A round that was begun, from 1, or a number of rounds or attempts that is not 0."""

ByteCount = Annotated[int, Field(strict=True, ge=0, le=MOST_BYTES)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NoiseMultiplier = Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=LONGEST_SECONDS)]
"""How long something took."""

Moment = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1e11)]
"""Unix time in seconds; every calendar can show it."""

Span = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LONGEST_SPAN, le=LONGEST_SPAN)]
"""Seconds between two looks at a clock, which may have been set back."""

Duration = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=LONGEST_SPAN)]
"""How long a part of a job took, in seconds, repetitions included."""

Score = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST_SCORE, le=LARGEST_SCORE)]
"""Value of a metric, whichever it is."""

Loss = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST_LOSS, le=LARGEST_LOSS)]
Numbers = Annotated[
    dict[Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]{0,39}$")], Finite],
    BeforeValidator(partial(limit_entries, most=MOST_NUMBERS)),
]
"""Plain numbers by name; which there may be, and in which range, is for the job's algorithm to say."""

Share = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]

Reason = Annotated[str, BeforeValidator(partial(_clean, longest=LONGEST_REASON))]
"""Why something is not as it should be; one line."""

LongReason = Annotated[str, BeforeValidator(partial(_clean, longest=10 * LONGEST_REASON))]
"""Why a whole job failed: the reasons of many sites in one line."""

Label = Annotated[str, BeforeValidator(partial(_clean, longest=80))]
"""A few words, such as a state or a name."""

SiteLabel = Annotated[str, BeforeValidator(partial(_clean, longest=128))]
"""A site's name. FLARE allows letters, digits, `-`, `_` and `.`; a record may come from elsewhere."""

Word = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
"""A name from a list that is not at hand here, such as a layout's; see `known_word`."""

MissingTargets = Annotated[
    list[Word],
    Field(
        max_length=16,
        description="Targets that the site's labels lack: it trains and scores the others only.",
    ),
]

CodeCounts = Annotated[dict[str, WithheldCount], BeforeValidator(_fold_codes)]
"""Cases by `ProblemCode`.

A site of another patch version may know a code that this one doesn't, and so may the task of another package.
Its count goes to `other`: the site takes part, and no name of its making gets into a record.
"""

Versions = Annotated[
    dict[str, Annotated[str, Field(strict=True, pattern=r"^[0-9][0-9A-Za-z.+!_-]{0,63}$")]],
    BeforeValidator(partial(limit_entries, most=len(VERSIONED))),
    AfterValidator(_check_packages),
]
"""Version by package: exactly those of `VERSIONED`, or some of them."""


Tree = Annotated[dict[str, Any], BeforeValidator(_check_tree)]
"""JSON that other modules have the model of, such as a job's settings, within bounds of depth and size."""

ValueT = TypeVar("ValueT")

BySite = Annotated[dict[SiteLabel, ValueT], BeforeValidator(partial(limit_entries, most=MAX_SITES))]
"""A value of each site."""

Packages = Annotated[dict[Label, Label], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]
"""Version by package at the machine that wrote the record."""


def known_word(said: str | None, known: Collection[str]) -> str | None:
    """Return a word of a site's if it is one of those that are known here, and otherwise `OTHER_CODE`.

    Args:
        said: A `Word` of the site's, such as the layout of its files; None if it has none.
        known: The task's own, such as the layouts of its cases.
    """
    return said if said is None or said in known else OTHER_CODE


def name_faults(error: ValidationError, model: type[BaseModel]) -> str:
    r"""Say which fields of a model are wrong, without anything that the sender wrote.

    Args:
        error: What the model found.
        model: The model: a name that is not a field's is the sender's own.

    Example:
        >>> class Report(Record):
        ...     cases: CaseCount
        >>> try:
        ...     Report.model_validate({"cases": 10**15, "note": "\x1b[2J"})
        ... except ValidationError as error:
        ...     name_faults(error, Report)
        'cases, an unknown field'
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    places = [str(one["loc"][0]) if one["loc"] else "" for one in faults]
    names = [place if place in model.model_fields else "an unknown field" for place in places if place]
    return ", ".join(dict.fromkeys(names)) or "all of it"


class MissingSite(Record):
    """Reason why a site has no part in a readiness check or a statistics job."""

    reason: Reason
    code: Code = Field(default=None, description="What kind of reason it is.")

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason
