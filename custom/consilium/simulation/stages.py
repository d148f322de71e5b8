"""Finished stages of a study, so that an interrupted one resumes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from consilium.data.files import write_atomically
from consilium.errors import ConfigurationError
from consilium.records.bounds import Duration, Label, Record
from consilium.records.reading import read_record


class StagesRecord(Record):
    """Content of the file of `Stages`.

    Attributes:
        key: What the stages' results depend on.
        seconds: Finished stages and how long they took.
    """

    key: str
    seconds: dict[Label, Duration]


class Stages:
    """The finished stages of one study, kept in a file until the study is complete.

    Args:
        path: The file.
        record: Its content.
    """

    def __init__(self, path: Path, record: StagesRecord) -> None:
        self._path, self._record = path, record

    @classmethod
    def open(cls, path: Path, *, key: str) -> Stages:
        """Read the file; stages of a study with another key count as not done.

        Raises:
            ConfigurationError: The file is damaged.
        """
        try:
            record = read_record(StagesRecord, path)
        except FileNotFoundError:
            record = None
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}\n  delete it to run the study from the beginning") from None
        if record is None or record.key != key:
            record = StagesRecord(key=key, seconds={})
        return cls(path, record)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Finished stages and how long they took."""
        return self._record.seconds

    def is_done(self, stage: str) -> bool:
        """Return whether a stage was finished."""
        return stage in self._record.seconds

    def finish(self, stage: str, seconds: float) -> None:
        """Note that a stage is finished."""
        self._record.seconds[stage] = seconds
        write_atomically(self._path, self._record.model_dump_json().encode())

    def forget(self) -> None:
        """Forget all stages: the study is complete, and the next one starts from the beginning."""
        self._path.unlink(missing_ok=True)
