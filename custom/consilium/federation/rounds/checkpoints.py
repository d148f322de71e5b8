"""Checkpoints of a training job at the server, and the permission to resume from them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import FLContextKey, SystemConfigs
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey, get_job_meta_study, is_valid_job_id
from nvflare.apis.workspace import Workspace
from nvflare.fuel.utils.config_service import ConfigService
from pydantic import Field, ValidationError

from consilium.counts import counted
from consilium.errors import ConfigurationError
from consilium.federation.component_state import DurableState
from consilium.federation.message_names import RESUME_META
from consilium.learning.checkpoints import Checkpoint, CheckpointStore, DamagedCheckpoint
from consilium.learning.weights import MODEL, Weights
from consilium.records.bounds import Record
from consilium.records.federation import FederationRecord, Resumption
from consilium.settings import Settings

SERVER_STORAGE = "CONSILIUM_SERVER_STORAGE"
"""Environment variable of the server's processes: the folder that holds jobs, snapshots and checkpoints."""

CHECKPOINTS = "consilium_checkpoints"
"""Key of the server's `resources.json` that names the folder of the checkpoints."""


class CheckpointPlace(Settings):
    """Location of the server's checkpoints."""

    folder: Path = Field(
        default=Path("checkpoints"), description="A folder, relative to the one that holds the jobs."
    )
    keep: int = Field(default=3, ge=1, le=1000, description="Last rounds of a job; the best stays as well.")

    @classmethod
    def find(cls, workspace: Workspace) -> CheckpointPlace | None:
        """Read the place from the server's `local/` files; None where they name none, as in the simulator.

        Raises:
            ConfigurationError: If what they name can't be used.
        """
        values = ConfigService.get_dict_var(CHECKPOINTS, conf=SystemConfigs.RESOURCES_CONF)
        if values is None:
            return None
        place = cls.parse(values, source=f"local/resources.json, {CHECKPOINTS}")
        storage = Path(os.environ.get(SERVER_STORAGE) or workspace.get_root_dir())
        return place.model_copy(update={"folder": storage / place.folder})

    def of_job(self, job_id: str) -> CheckpointStore:
        """Return the store of one job.

        Raises:
            ConfigurationError: If the text is no job id.
        """
        if not is_valid_job_id(job_id):
            raise ConfigurationError(f"{job_id!r} is no job id; `list_jobs` shows them")
        return CheckpointStore(self.folder / job_id, keep=self.keep)


class RunState(Record):
    """State of a job after a round, without its arrays."""

    submitter: str
    study: str
    learning: dict[str, Any]
    algorithm: dict[str, Any] = Field(description="The algorithm's name and settings.")
    record: FederationRecord
    cases: dict[str, int] = Field(description="Training cases of every site that ever said how many.")
    parts: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="State of each part that remembers something, by its name."
    )


@dataclass(frozen=True)
class RoundCheckpoint:
    """A round to resume from.

    Attributes:
        number: Rounds done.
        weights: The model after them.
        state: The job's state at that time, without arrays.
        parts: State of each part that remembers something, by its name.
    """

    number: int
    weights: Weights
    state: RunState
    parts: Mapping[str, DurableState]


class RoundCheckpoints:
    """The durable rounds of the job that runs in this process.

    Args:
        fl_ctx: A context of the job.
        learning: The job's learning settings: rounds of another model are no use to it.
        algorithm: The algorithm's name and settings, for the same reason.
    """

    def __init__(self, fl_ctx: FLContext, learning: Mapping[str, Any], algorithm: Mapping[str, Any]) -> None:
        meta = fl_ctx.get_prop(FLContextKey.JOB_META)
        self.job_id = str(fl_ctx.get_job_id())
        self._interrupted = meta.get(RESUME_META)
        self._submitter = str(meta.get(JobMetaKey.SUBMITTER_NAME.value, ""))
        self._study = str(get_job_meta_study(meta))
        self._learning = dict(learning)
        self._algorithm = dict(algorithm)
        self._place = CheckpointPlace.find(fl_ctx.get_engine().get_workspace())
        self._store = self._place.of_job(self.job_id) if self._place else None

    def resume(self) -> RoundCheckpoint | None:
        """Return the last durable round of the job that this one resumes; None if it resumes none.

        The round is this job's own from then on, so a second interruption loses no more than the first.

        Raises:
            ConfigurationError: If that job has none, or may not be resumed by this one.
        """
        if self._interrupted is None:
            return None
        if self._place is None or self._store is None:
            raise ConfigurationError(
                f"this server keeps no checkpoints to resume {self._interrupted} from; name a folder under "
                f"{CHECKPOINTS} in its local/resources.json"
            )
        checkpoint, faults = self._place.of_job(str(self._interrupted)).load_last()
        if checkpoint is None:
            raise ConfigurationError(
                f"there is no durable round of job {self._interrupted} on this server"
                + (f": {'; '.join(faults)}" if faults else "; `list_jobs` shows the jobs")
            )
        state = self._read(checkpoint)
        resumption = Resumption(job=str(self._interrupted), after_round=checkpoint.number)
        state.record.resumed = [*state.record.resumed, resumption]
        self._adopt_best(state)
        self._save(checkpoint.number, checkpoint.arrays, state)
        parts = {
            part: DurableState(values, checkpoint.arrays.get(part, {}))
            for part, values in state.parts.items()
        }
        return RoundCheckpoint(checkpoint.number, checkpoint.arrays[MODEL], state, parts)

    def keep(
        self,
        rounds_done: int,
        weights: Weights,
        *,
        record: FederationRecord,
        cases: Mapping[str, int],
        parts: Mapping[str, DurableState],
    ) -> float | None:
        """Make a round durable.

        Args:
            rounds_done: The round, from 1.
            weights: The model after it.
            record: Of the job so far.
            cases: Training cases of every site that ever said how many.
            parts: State of each part that remembers something, by its name; none is called `model`.

        Returns:
            The time that it took, in seconds; None where the server keeps no checkpoints.

        Raises:
            OSError: If the disk is full or gone; the checkpoints before are untouched.
        """
        if self._store is None:
            return None
        started = time.monotonic()
        state = RunState(
            submitter=self._submitter,
            study=self._study,
            learning=self._learning,
            record=record,
            cases=dict(cases),
            algorithm=self._algorithm,
            parts={part: dict(remembered.values) for part, remembered in parts.items()},
        )
        arrays = {part: remembered.arrays for part, remembered in parts.items()} | {MODEL: weights}
        self._save(rounds_done, arrays, state)
        return time.monotonic() - started

    def best(self, state: RunState) -> Weights | None:
        """Return the weights of the best round so far; None if their checkpoint is missing or damaged."""
        if state.record.best_round is None or self._store is None:
            return None
        try:
            return self._store.load(state.record.best_round).arrays[MODEL]
        except DamagedCheckpoint:
            return None

    def _save(self, rounds_done: int, arrays: Mapping[str, Weights], state: RunState) -> None:
        assert self._store is not None  # the callers have looked
        best = state.record.best_round
        pinned = () if best is None else (best,)
        self._store.save(rounds_done, arrays, state.model_dump(mode="json"), pinned=pinned)

    def _read(self, checkpoint: Checkpoint) -> RunState:
        job = self._interrupted
        try:
            state = RunState.model_validate(checkpoint.state)
        except ValidationError as error:
            raise ConfigurationError(
                f"the rounds of job {job} were kept by another version of Consilium "
                f"({counted(error.error_count(), 'field')} of another form); resume it with that version, or "
                "submit the job without resume"
            ) from None
        if (state.submitter, state.study) != (self._submitter, self._study):
            raise ConfigurationError(
                f"job {job} was submitted by another user or in another study; only its submitter may resume "
                "it, in the same study"
            )
        differing = sorted(
            key
            for key in state.learning.keys() | self._learning.keys()
            if state.learning.get(key) != self._learning.get(key)
        )
        if differing:
            raise ConfigurationError(
                f"job {job} has other learning settings ({', '.join(differing)}); to resume it, submit the "
                "same job folder"
            )
        if state.algorithm != self._algorithm:
            raise ConfigurationError(
                f"job {job} has another algorithm, or other settings of it; to resume it, submit the same "
                "job folder"
            )
        return state

    def _adopt_best(self, state: RunState) -> None:
        """Copy the best round before the last one: the next resumption starts from the newest."""
        best = state.record.best_round
        if best is None or self._place is None or self._store is None:
            return
        try:
            checkpoint = self._place.of_job(str(self._interrupted)).load(best)
        except DamagedCheckpoint:
            return
        self._store.save(best, checkpoint.arrays, checkpoint.state)
