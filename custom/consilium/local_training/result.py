"""Result folder of a training: its models, and the record that says what they depend on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consilium.counts import count_patients
from consilium.data.files import private_folder
from consilium.errors import ConfigurationError
from consilium.federation.versions import component_versions
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL, load_model
from consilium.learning.standalone import save_standalone
from consilium.learning.weights import Weights
from consilium.local_training.job import TrainingJob
from consilium.participant.site_data import SiteData
from consilium.participant.standalone_plan import StandalonePlan
from consilium.records.local_training import LocalTrainingRecord, SitePatients


class TrainingResultFolder:
    """The folder with the models and the record of one training.

    Args:
        folder: The folder; it is made where needed.
        job: Whose settings the training has.
        plan: What is trained.
    """

    def __init__(self, folder: Path, job: TrainingJob, plan: StandalonePlan) -> None:
        self.folder = folder
        self._job, self._plan = job, plan

    def save(self, name: str, weights: Weights, number: int) -> None:
        """Write a model.

        Args:
            name: Of the file.
            weights: The model.
            number: After how many rounds.
        """
        initial = self._job.initial
        save_standalone(
            private_folder(self.folder) / name,
            weights,
            self._plan.learning,
            self._plan.trained,
            rounds=number,
            job=self._job.name,
            origin=initial.origin if initial else (),
        )

    def load(self, name: str) -> Weights:
        """Return the weights of a model that `save` wrote."""
        return load_model(self.folder / name)[0]

    def open_record(self, data: Mapping[str, SiteData]) -> LocalTrainingRecord:
        """Return the record of this very training, or a new one; the result of another is removed.

        Args:
            data: The sites.

        Raises:
            ConfigurationError: The record that is there can't be read.
        """
        inputs = self._hash_inputs(data)
        try:
            known = LocalTrainingRecord.load(self.folder)
        except FileNotFoundError:
            known = None
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}\n  delete {self.folder} to train from the beginning") from None
        if known is not None and known.inputs == inputs and self._has_models(known):
            return known
        shutil.rmtree(self.folder, ignore_errors=True)
        return LocalTrainingRecord(
            job=self._job.name,
            task=self._job.learning.task,
            kind=self._plan.trained.kind,
            inputs=inputs,
            settings=self._settings(),
            rounds_planned=self._plan.rounds,
            sites={name: _count(one) for name, one in data.items()},
            versions=component_versions(),
        )

    def _settings(self) -> dict[str, Any]:
        initial = self._job.initial
        return {
            "rounds": self._plan.rounds,
            "selection": self._job.selection,
            "learning": self._plan.learning.model_dump(mode="json"),
            "initial": initial and initial.model_dump(mode="json"),
        }

    def _has_models(self, record: LocalTrainingRecord) -> bool:
        names = [LAST_MODEL] if record.rounds else []
        names += [BEST_MODEL] if record.best_round is not None else []
        return all((self.folder / name).is_file() for name in names)

    def _hash_inputs(self, data: Mapping[str, SiteData]) -> str:
        """Hash all that the models depend on; the name of a prepared case is a hash of its files."""
        cases = {
            name: [
                [(case.id, case.patient, case.folder.name) for case in cases]
                for cases in (one.train, one.validation, one.test)
            ]
            for name, one in data.items()
        }
        trained, seed = self._plan.trained.model_dump(mode="json"), self._plan.data.draw_seed
        content = (self._job.name, self._settings(), trained, seed, cases)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _count(data: SiteData) -> SitePatients:
    train, validation, test = map(count_patients, (data.train, data.validation, data.test))
    return SitePatients(train=train, validation=validation, test=test, left_out=data.left_out)
