"""The officer's page as data: what `privacy.json` holds, and what page and PDF are rendered from."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from consilium.privacy.promise import PrivacyPromise
from consilium.records.bounds import (
    MOST_ENTRIES,
    CaseCount,
    Finite,
    Label,
    Record,
    SiteLabel,
    Word,
    limit_entries,
)
from consilium.records.texts import clean_text
from consilium.report.privacy.attacks import AttackResult

FORMAT: Final = 1
"""Of `privacy.json`; a larger one may lack or rename keys."""

_LONGEST: Final = 2000


def _clean(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError("not a text")
    return clean_text(text, _LONGEST)


Sentence = Annotated[str, BeforeValidator(_clean)]
"""A sentence or two, without control characters."""

Sentences = Annotated[tuple[Sentence, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]


class DataFlow(Record):
    """One thing that a job has a hospital send, or that follows from what it sends."""

    key: Word = Field(description="For programs; the same in every version of a format.")
    what: Sentence = Field(description="What it is, and in which form.")
    about: Sentence = Field(description="Whom it is about.")
    minimum: Sentence = Field(description="Fewest patients behind it, and what with fewer; empty for none.")
    server: Sentence = Field(description="What the server's operator sees of it.")
    users: Sentence = Field(description="What the project's users see of it.")
    hospitals: Sentence = Field(description="What the other hospitals' sites receive of it.")
    protection: Sentence = Field(description="What protects it.")


class NotSent(Record):
    """Something that the job asks for and this hospital does not send."""

    what: Sentence
    why: Sentence


class OfferedProtection(Record):
    """What a job offers the patients of its updates, in numbers."""

    epsilon: Annotated[Finite, Field(gt=0)] | None = Field(
        default=None, description="Of the whole job; null without noise."
    )
    delta: Annotated[Finite, Field(gt=0, lt=1)] | None = Field(
        default=None, description="Null for a tenth of one divided by the site's training patients."
    )
    level: Word = "none"
    secure_aggregation: bool = False

    @classmethod
    def of(cls, promise: PrivacyPromise) -> OfferedProtection:
        """Return what an algorithm promises, in numbers."""
        return cls(
            epsilon=promise.epsilon,
            delta=promise.delta,
            level=promise.level.value,
            secure_aggregation=promise.secure_aggregation,
        )


class HospitalProtection(Record):
    """What noise promises a hospital as a whole in a job, in numbers; no protection by patient."""

    noise_multiplier: Annotated[Finite, Field(gt=0)] = Field(
        description="Of a round, in the norm that the update is scaled down to."
    )
    in_sum: bool = Field(description="Whether it is in the sum of secure aggregation only.")
    epsilon: Annotated[Finite, Field(ge=0)] = Field(
        description="Of all rounds of the job, compared with updates of zero."
    )
    epsilon_of_other_data: Annotated[Finite, Field(ge=0)] | None = Field(
        description="The same, compared with updates from any other data; null where it isn't computed."
    )
    delta: Annotated[Finite, Field(gt=0, lt=1)]
    allowed: Annotated[Finite, Field(gt=0)] | None = Field(
        description="The hospital's budget for all jobs; null for no limit."
    )
    with_all_jobs: Annotated[Finite, Field(ge=0)] = Field(
        description="Epsilon of the hospital with this job and all earlier ones."
    )


class SpentBudget(Record):
    """What the patients of a hospital have spent in all jobs, in numbers."""

    allowed: Annotated[Finite, Field(gt=0)] | None = Field(description="Null for no limit.")
    delta: Annotated[Finite, Field(gt=0, lt=1)]
    spent: Annotated[Finite, Field(ge=0)] = Field(description="Of the patient who has spent most.")
    jobs: CaseCount = Field(description="Jobs with noise that have paid.")
    head: Label = Field(description="Number and hash of the ledger's last entry; empty without one.")
    jobs_without_noise: CaseCount = Field(
        default=0, description="Jobs that trained without noise: nothing bounds what they revealed."
    )


class StatementSection(Record):
    """A heading with its sentences."""

    key: Word
    heading: Sentence
    sentences: Sentences


class Reference(Record):
    """A text that the page's headings follow or that an officer may need beside it."""

    title: Sentence
    source: Sentence
    use: Sentence = Field(description="What of this page it concerns.")


class PrivacyStatement(Record):
    """What a job takes from a hospital, who sees it, what protects it and what does not."""

    format: Literal[1] = FORMAT
    job: Label
    kind: Word
    task: Word
    title: Label = Field(description="Of the task, for people.")
    source: Literal["settings", "record"]
    site: SiteLabel | None = Field(description="The hospital whose settings count; null for the defaults.")
    consilium: Label = Field(description="The version that wrote this.")
    summary: Sentences
    protection: OfferedProtection
    hospital: HospitalProtection | None = Field(
        default=None, description="Null where no noise hides the hospital as a whole."
    )
    budget: SpentBudget | None = Field(description="Null where no hospital's settings are at hand.")
    attacks: Annotated[
        tuple[AttackResult, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))
    ] = Field(description="Measured at settings like the job's.")
    flows: Annotated[tuple[DataFlow, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]
    not_sent: Annotated[tuple[NotSent, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]
    stays: Sentences = Field(description="What never leaves the hospital.")
    sections: Annotated[
        tuple[StatementSection, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))
    ]
    not_covered: Sentences
    references: Annotated[tuple[Reference, ...], BeforeValidator(partial(limit_entries, most=MOST_ENTRIES))]

    def section(self, key: str) -> StatementSection:
        """Return a section by its key."""
        return next(one for one in self.sections if one.key == key)
