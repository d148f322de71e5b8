"""Trained models: found in a result, checked against the network that they name, ready to predict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from consilium.counts import counted
from consilium.data.case_format import CaseFormat
from consilium.errors import ConfigurationError, DataError
from consilium.learning.initial_model import Origin, read_origin
from consilium.learning.model_file import BEST_MODEL, LAST_MODEL, load_matching, read_metadata
from consilium.learning.model_store import digest_of
from consilium.learning.standalone import Standalone, read_standalone
from consilium.learning.weights import Weights
from consilium.prediction.checksums import MODELS, require_checksum, sha256_of
from consilium.tasks import LearningSettings, Task, get_task, parse_learning

Which: TypeAlias = Literal["best", "final"]
"""The model that scored best, or the one after the last round."""

_FILES: Final[Mapping[str, str]] = {"best": BEST_MODEL, "final": LAST_MODEL}
_MOST_SETTINGS: Final = 1 << 16
_MOST_NAME: Final = 128
_MOST_DIGITS: Final = 6


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained, with all that is needed to use it.

    Nothing in a model file can run: it holds arrays and text. What it says is not trusted: the task and its
    settings are parsed as a job's are, and names, shapes and number types have to be those of the network
    that the settings name before any weight is read.

    Attributes:
        path: The file.
        learning: The settings that it was trained with.
        weights: The weights, all finite.
        digest: SHA-256 of the file, as hexadecimal digits.
        round: After how many rounds; None where the file doesn't say.
        job: Name of the job that trained it; None where the file doesn't say.
        origin: The models that it was trained from, the oldest first.
        standalone: How it was trained without a federation; None where a federation trained it.
    """

    path: Path
    learning: LearningSettings
    weights: Weights = field(repr=False)
    digest: str
    round: int | None = None
    job: str | None = None
    origin: tuple[Origin, ...] = ()
    standalone: Standalone | None = None

    @property
    def task(self) -> Task:
        """What it predicts."""
        return get_task(self.learning.task)

    @property
    def case_format(self) -> CaseFormat:
        """How its cases are found and read: without some images, if it has learned to do without them."""
        cases = self.task.cases
        return cases.lacking(cases.inputs) if self.learning.accepts_missing_inputs else cases

    def read_file(self) -> bytes:
        """Return the content of the file, which is the one that was checked.

        Raises:
            DataError: It was changed or removed since.
        """
        content = self.path.read_bytes() if self.path.is_file() else b""
        if digest_of(content) != f"sha256:{self.digest}":
            raise DataError(f"{self.path} was changed while it was read; try again")
        return content

    @classmethod
    def load(cls, place: Path | str, which: Which | None = None) -> TrainedModel:
        """Read a model.

        Example:
            ```python
            from consilium import TrainedModel

            model = TrainedModel.load("runs/first/result")
            print(model.task.title, model.learning.summary, model.round)
            ```

        Args:
            place: The file, a result folder, the folder of a downloaded job, or a bundle of Consilium.
            which: The model to take from a folder; default: the best, and the final one where none was chosen
                as the best.

        Raises:
            ConfigurationError: There is none, it doesn't say how it was trained, or its task is unknown.
            DataError: The file is damaged, its weights are not those of its network, or it is not the one
                that its bundle lists.
        """
        path = find_model(Path(place), which)
        metadata = read_metadata(path)
        learning = _settings_of(metadata, path)
        weights = load_matching(path, network_weights(learning))  # its size is known to be the network's now
        digest = sha256_of(path)
        require_checksum(path, digest)
        number = metadata.get("round", "")
        return cls(
            path,
            learning,
            weights,
            digest,
            int(number) if number.isdecimal() and len(number) <= _MOST_DIGITS else None,
            "".join(one for one in metadata.get("job", "")[:_MOST_NAME] if one.isprintable()) or None,
            read_origin(metadata, path),
            read_standalone(metadata, path),
        )


_WHAT_TO_NAME: Final = (
    "name a result folder, such as runs/demo/result, the folder of a downloaded job, a bundle, or a "
    ".safetensors file; a job that ended before its first round has none"
)


def find_model(place: Path, which: Which | None = None) -> Path:
    """Return the file of a model in a result, wherever FLARE's download put it.

    Args:
        place: The file, a result folder, or the folder of a job or a simulation around it.
        which: See `TrainedModel.load`.

    Raises:
        ConfigurationError: There is none, or more than one result.
    """
    if place.is_file():
        if which is not None:
            raise ConfigurationError(f"--which {which} chooses in a folder; {place} is a file")
        return place
    if not place.is_dir():
        raise ConfigurationError(f"{place} does not exist; {_WHAT_TO_NAME}")
    wanted = [_FILES[which]] if which else [BEST_MODEL, LAST_MODEL]
    # A simulation's result is copied from its server's folder: the copy is meant.
    for folder in (place, place / "result"):
        for name in wanted:
            if (folder / name).is_file():
                return folder / name
    models = [path for path in place.rglob("*.safetensors") if path.is_file()]
    found = sorted(path for path in models if path.name in wanted)
    if not found and (place / "configs/metadata.json").is_file():
        raise ConfigurationError(
            f"{place} is a MONAI bundle without {MODELS}/{LAST_MODEL}: `consilium bundle` did not write it, "
            "and how to prepare images for it is not known. If the task knows its weights, a job can start "
            f"from them: `consilium jobs export NAME --from {place}/{MODELS}/model.pt`"
        )
    if not found:
        there = sorted({path.name for path in models})
        raise ConfigurationError(
            f"{place} holds no {' or '.join(wanted)}"
            + (f"; it holds {', '.join(there)}: name one of these files" if there else f"; {_WHAT_TO_NAME}")
        )
    if len({path.parent for path in found}) > 1:
        raise ConfigurationError(
            f"{place} holds {counted(len(found), 'model')}; name one: {', '.join(map(str, found[:5]))}"
        )
    return next(path for name in wanted for path in found if path.name == name)


def _settings_of(metadata: Mapping[str, str], path: Path) -> LearningSettings:
    text = metadata.get("learning")
    if text is None:
        raise ConfigurationError(
            f"{path} does not say how it was trained: its metadata has no `learning`. Name a model file "
            f"that a job of Consilium wrote, such as result/{LAST_MODEL}"
        )
    try:
        if len(text) > _MOST_SETTINGS:
            raise ValueError(f"they are {counted(len(text), 'character')} long")
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("they are no JSON object")
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path}: its learning settings can't be read: {error}") from None
    return parse_learning(values, source=f"the learning settings in {path}")


def network_weights(learning: LearningSettings) -> Weights:
    """Return weights of the network that settings name: their names, shapes and number types are wanted."""
    from consilium.learning.network_state import get_weights

    return get_weights(get_task(learning.task).method.build_network(learning))
