"""Content of the file of a site's patient register, and what to do where it can't be read."""

from __future__ import annotations

import json
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

from consilium.data.split import EvaluatedSet
from consilium.errors import DataError
from consilium.participant.answer_groups import Group

KEY_FILE: Final = "split.key"
"""32 random bytes, kept secret: they determine which patients a site validates and tests on."""

REGISTER_FILE: Final = "patients.json"

_FORMAT: Final = 4
"""Of the register's file. Format 3, without test patients, is read as well, and written as this one."""


class LoggedModel(BaseModel):
    """A model that was evaluated on the site's patients; see `EvaluationLog`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Hash of its weights.")
    job: str = Field(description="Id of the job that had it evaluated first.")
    set: EvaluatedSet
    kind: Literal["training", "evaluation"] = Field(description="Of the job.")


class RegisterContent(BaseModel):
    """What a site remembers of its patients, under pseudonyms."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[3, 4] = _FORMAT
    key: str = Field(description="Which key the pseudonyms were made with.")
    training: list[str] = []
    validation: list[str] = []
    test: list[str] = Field(default=[], description="Empty in format 3, where nobody was tested on.")
    models: list[LoggedModel] = Field(default=[], description="Evaluated here, the first one first.")
    groups: dict[str, list[Group]] = Field(default={}, description="By question.")
    answers: dict[str, list[list[str]]] = Field(default={}, description="Cases of answers, by question.")

    @classmethod
    def parse(cls, content: str | bytes, source: object) -> Self:
        """Read the content of a file.

        Args:
            content: The file's.
            source: Where it comes from, for messages.

        Raises:
            DataError: If it is damaged, or of another version.
        """
        try:
            known = cls.model_validate_json(content)
        except ValidationError:
            raise DataError(_explain(content, source)) from None
        return known.model_copy(update={"format": _FORMAT})


def restore_remedy(name: str) -> str:
    """Return the remedy for a missing or damaged file of the register."""
    return (
        f"Restore {name} from a backup. Where there is none, remove {KEY_FILE} and {REGISTER_FILE}: the "
        "site then splits its patients again, and what it answers next can be compared with what it answered "
        "before."
    )


def _explain(content: str | bytes, source: object) -> str:
    """Say why a register can't be read, and what to do."""
    try:
        written = json.loads(content)["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        written = None
    if isinstance(written, int) and written > _FORMAT:
        return (
            f"{source} was written by a later version of Consilium (format {written}; this version reads up "
            f"to {_FORMAT}). Install that version again: an earlier one does not know all that was decided."
        )
    return f"{source} is damaged, or of another version of Consilium. {restore_remedy(REGISTER_FILE)}"
