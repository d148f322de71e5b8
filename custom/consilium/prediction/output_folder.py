"""Output of predictions: the files of each case, what is finished, and the tables over all cases."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from consilium.counts import counted
from consilium.data.files import private_folder, write_atomically
from consilium.data.finding import Finding
from consilium.data.output_claim import claim_folder
from consilium.data.sealed import read_sealed, write_sealed
from consilium.errors import ConfigurationError

Purpose: TypeAlias = Literal["predictions", "evaluation"]
"""What a folder is for; the table is named after it: one line a case, with the model."""

FINDINGS: Final = "findings.csv"
"""What the checks found in the cases of the last run."""

ABOUT: Final = "about.json"
"""What was predicted with, and what values in files mean; nothing of a patient."""

PICTURE_ENDING: Final = ".png"

_STATE: Final = ".consilium"
_FINISHED: Final = "finished"
_NAME_BYTES: Final = 16
_MODEL_DIGITS: Final = 12
_STEM_CHARACTERS: Final = 120
_FILE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""No path: files of these names are removed."""


class FinishedCase(BaseModel):
    """What is remembered of a case that was predicted or evaluated.

    Attributes:
        id: The case.
        key: Hash of its source files, of the model and of the settings; empty while its files are written.
        model: Digest of the model's file.
        settings: Hash of the model and of the settings alone.
        values: A value for each of the task's columns; empty for an evaluation.
        files: The names of its files in the folder, also of those that an interrupted run did not write.
        extras: What was written beside the prediction itself.
        scores: Of an evaluation: what the task measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    key: str
    model: str
    settings: str = ""
    values: dict[str, str | int | float]
    files: tuple[Annotated[str, Field(pattern=_FILE_NAME)], ...]
    extras: tuple[str, ...] = ()
    scores: dict[str, float] = {}


class OutputFolder:
    """The folder of predictions or of an evaluation, closed to other accounts, as it is about patients.

    A name in it is made of a case's id, and is nothing but letters, digits and `._-`.

    Args:
        path: The folder, which exists.
        purpose: What it is for. One folder may hold both, and each remembers its own cases.
    """

    def __init__(self, path: Path, purpose: Purpose = "predictions") -> None:
        self.path = path
        self._purpose = purpose
        self._finished = path / _STATE / _FINISHED / purpose

    @classmethod
    @contextmanager
    def open(cls, path: Path, purpose: Purpose = "predictions") -> Iterator[OutputFolder]:
        """Make the folder that a person named with `-o`; files of their own in it are never replaced.

        Raises:
            ConfigurationError: It holds other files than those of a run, another run uses it, or it can't be
                written.
        """
        with claim_folder(path, "-o", "predictions or an evaluation", (_STATE,)) as claimed:
            yield cls(claimed, purpose)

    @property
    def state(self) -> Path:
        """Where the run keeps what it needs: findings, hashes, prepared cases."""
        return self.path / _STATE

    @property
    def prepared(self) -> Path:
        """Where prepared cases are kept until they are predicted."""
        return self.path / _STATE / "prepared"

    def finished(self, case_id: str) -> FinishedCase | None:
        """Return what is remembered of a case, if all of its files are there."""
        found = read_sealed(self._record(case_id), FinishedCase)
        return found if found is not None and found.id == case_id and self._is_whole(found) else None

    def all_finished(self) -> list[FinishedCase]:
        """Return what is remembered of all cases whose files are there, sorted by id."""
        records = [read_sealed(path, FinishedCase) for path in self._finished.glob("*.json")]
        return sorted((one for one in records if one and self._is_whole(one)), key=lambda one: one.id)

    def require_one_setting(self, settings: str, replaced: Collection[str], done: str) -> None:
        """Remove the results of other models or settings: summaries are about all that the folder holds.

        Args:
            settings: The hash of the model and settings of this run.
            replaced: Ids of the cases of this run.
            done: What this run does with a case: `predicted` or `evaluated`.

        Raises:
            ConfigurationError: It holds results of other cases with another model or settings.
        """
        other = [one for one in self.all_finished() if one.settings != settings]
        kept = [one for one in other if one.id not in replaced]
        if kept:
            raise ConfigurationError(
                f"-o {self.path} holds {counted(len(kept), 'case')} {done} with another model or other "
                "settings, which this run would not replace, and all in it is described as of one model; "
                "name another folder, or model and options as before"
            )
        for one in other:
            self.withdraw(one.id)

    def names(self, case_id: str, endings: Iterable[str]) -> tuple[str, ...]:
        """Return the names of a case's files."""
        return tuple(f"{file_stem(case_id)}{ending}" for ending in endings)

    def write_case(self, case_id: str, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Write the files of a case, each in one step.

        Args:
            case_id: The case.
            files: Ending to content.

        Returns:
            The names of the files.
        """
        names = self.names(case_id, files)
        for name, content in zip(names, files.values(), strict=True):
            write_atomically(self.path / name, content, durable=False)
        return names

    def picture(self, case_id: str) -> Path:
        """The place of a case's picture."""
        return self.path / self.names(case_id, [PICTURE_ENDING])[0]

    def withdraw(self, case_id: str) -> None:
        """Remove the files of a case, and then what is remembered of it: they are not valid any more."""
        found = read_sealed(self._record(case_id), FinishedCase)
        for name in found.files if found is not None and found.id == case_id else ():
            (self.path / name).unlink(missing_ok=True)
        self._record(case_id).unlink(missing_ok=True)

    def keep(self, finished: FinishedCase) -> None:
        """Remember a case: that it is finished, once its files are there, or which ones are being written."""
        private_folder(self._finished)
        write_sealed(self._record(finished.id), finished)

    def write_table(self, columns: Sequence[str], cases: Sequence[FinishedCase] | None = None) -> Path:
        """Write the table of cases.

        Args:
            columns: Those between the case's id and the model.
            cases: The cases; default: all that are finished.
        """
        rows = [
            (one.id, *(one.values.get(column, "") for column in columns), one.model[:_MODEL_DIGITS])
            for one in (self.all_finished() if cases is None else cases)
        ]
        return self._write_csv(f"{self._purpose}.csv", ("case", *columns, "model"), rows)

    def write_findings(self, findings: Iterable[Finding]) -> Path:
        """Write what was found in the cases."""
        rows = [
            (
                one.case_id or "",
                one.severity.value,
                one.code.value,
                one.image or "",
                one.detail,
                one.code.remedy,
            )
            for one in findings
        ]
        return self._write_csv(FINDINGS, ("case", "severity", "code", "image", "detail", "remedy"), rows)

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write a file for machines, such as `ABOUT`."""
        text = json.dumps(content, indent=2) + "\n"
        write_atomically(self.path / name, text.encode(), durable=False)
        return self.path / name

    def _is_whole(self, one: FinishedCase) -> bool:
        return bool(one.key) and all((self.path / name).is_file() for name in one.files)

    def _record(self, case_id: str) -> Path:
        return self._finished / f"{_digest(case_id)}.json"

    def _write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)
        write_atomically(self.path / name, text.getvalue().encode(), durable=False)
        return self.path / name


def file_stem(case_id: str) -> str:
    """Return what the names of a case's files start with: its id, as far as that can be a file's name.

    Example:
        >>> file_stem("TCGA-01"), file_stem("../other")
        ('TCGA-01', 'other-6a8a60e5')
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", case_id).lstrip("._-")[:_STEM_CHARACTERS]
    return plain if plain and plain == case_id else f"{plain or 'case'}-{_digest(case_id)[:8]}"


def _digest(case_id: str) -> str:
    return hashlib.blake2b(case_id.encode(errors="surrogatepass"), digest_size=_NAME_BYTES).hexdigest()


def _cell(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
