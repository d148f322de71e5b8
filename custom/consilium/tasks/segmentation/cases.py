"""The case format of volumetric segmentation, composed of a problem's inputs, labels and intensities."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from consilium.counts import counted
from consilium.data.case import Case
from consilium.data.case_format import FoundCases, Progress, TargetReading
from consilium.data.case_preparation import Examination, Prepared, ReadBytes
from consilium.data.codes import DataCode
from consilium.data.finding import Finding
from consilium.data.sources import SourceIndex
from consilium.errors import ConfigurationError, DataError
from consilium.tasks.segmentation.checks.case import VolumeChecks, plain_checks
from consilium.tasks.segmentation.codes import VolumeCode
from consilium.tasks.segmentation.incomplete import accept_incomplete
from consilium.tasks.segmentation.label_reading import read_labels
from consilium.tasks.segmentation.labels import Labels, Values, list_values
from consilium.tasks.segmentation.layouts import (
    FileEndings,
    Layout,
    count_endings,
    describe_foreign,
    detect_layout,
    layout_names,
    unknown_files,
)
from consilium.tasks.segmentation.layouts.vocabulary import Vocabulary
from consilium.tasks.segmentation.preparation.crop import NativeCase
from consilium.tasks.segmentation.preparation.native import examine
from consilium.tasks.segmentation.preparation.normalization import Normalization
from consilium.tasks.segmentation.preparation.preprocessing import PreprocessingSettings, preprocess
from consilium.tasks.segmentation.volume_case import VolumeCase


@dataclass(frozen=True)
class SegmentationCases:
    """Cases of volumes in NIfTI files, each with a label map; a `CaseFormat`.

    Args:
        name: Of the problem.
        inputs: Names of the images that a case must have, in the network's order.
        vocabulary: The words by which files are distinguished.
        labels: What the values of label files mean.
        normalization: How intensities are read.
        may_lack: Names of images without which a case is used all the same; see `lacking`.
        own_checks: What is checked; default: what can be in any volume. Required with several inputs, or
            with intensities without a unit, for the limits of their checks (see `VolumeTraits`).

    Raises:
        ValueError: If those limits are missing.
    """

    name: str
    inputs: tuple[str, ...]
    vocabulary: Vocabulary
    labels: Labels
    normalization: Normalization
    own_checks: VolumeChecks[Any] | None = None
    may_lack: tuple[str, ...] = ()

    case_type: ClassVar[type[VolumeCase]] = VolumeCase
    settings_type: ClassVar[type[PreprocessingSettings]] = PreprocessingSettings

    def __post_init__(self) -> None:
        """Check that the problem states the limits of its checks."""
        traits = self.checks.traits
        if len(self.inputs) > 1 and traits.registration is None:
            raise ValueError(
                f"{self.name} has {counted(len(self.inputs), 'image')} a case, whose registration is "
                "checked; state VolumeTraits.registration in its own_checks"
            )

    @property
    def checks(self) -> VolumeChecks[Any]:
        """What is checked in a case, and between two of them."""
        return self.own_checks or plain_checks(self.normalization)

    @property
    def layouts(self) -> tuple[str, ...]:
        """Names of the layouts that are recognized."""
        return layout_names(self.vocabulary)

    @property
    def conventions(self) -> tuple[str, ...]:
        """What a hospital may say that its labels mean."""
        return self.labels.conventions

    def preparation(self, job: BaseModel) -> PreprocessingSettings:
        """Pick the voxel size out of a job's settings, its `spacing_mm`."""
        return self.preprocessing(getattr(job, "spacing_mm"))  # noqa: B009

    def preprocessing(self, spacing_mm: float | tuple[float, float, float]) -> PreprocessingSettings:
        """Return what preprocessing depends on, with a voxel size in mm, one number or R, A and S."""
        return PreprocessingSettings.model_validate(
            {
                "inputs": self.inputs,
                "spacing_mm": spacing_mm,
                "normalization": self.normalization.fingerprint,
            }
        )

    def lacking(self, inputs: Collection[str]) -> SegmentationCases:
        """Return the format of cases that may lack some images; the network sees 0 in the place of each.

        Raises:
            ConfigurationError: A name is none of its inputs, or there is but one input.
        """
        if unknown := sorted(set(inputs) - set(self.inputs)):
            raise ConfigurationError(
                f"a case of {self.name} has no image named {', '.join(unknown)}; known: "
                f"{', '.join(self.inputs)}"
            )
        if inputs and len(self.inputs) < 2:
            raise ConfigurationError(f"a case of {self.name} is its one image, {self.inputs[0]}")
        return replace(self, may_lack=tuple(name for name in self.inputs if name in inputs))

    def check_endings(self, endings: Mapping[str, Sequence[str]]) -> None:
        """Check the endings that a hospital adds; see `FileEndings`."""
        FileEndings(self.vocabulary, endings)

    def open_folder(
        self, folder: Path, files: Sequence[Path], endings: Mapping[str, Sequence[str]]
    ) -> VolumeFolder:
        """Recognize the layout of a folder.

        Raises:
            DataError: No layout claims a file, or more than one does, or it lacks an input.
            ConfigurationError: An ending is none.
        """
        names = FileEndings(self.vocabulary, endings)
        layout = detect_layout(folder, files, names)
        if not self.inputs or set(self.inputs) - set(layout.inputs):
            raise DataError(
                f"Asked for the modalities {', '.join(self.inputs) or '(none)'}; "
                f"the layout {layout.name} has {', '.join(layout.inputs)}."
            )
        return VolumeFolder(self, layout, names, tuple(files))

    def examine(self, case: Case, convention: str | None, read: ReadBytes) -> Examination[NativeCase]:
        """Read a case and find everything that is wrong with its files."""
        wanted = [name for name in self.inputs if name in case.images or name not in self.may_lack]
        return examine(
            case, convention, wanted, labels=self.labels, normalization=self.normalization, read=read
        )

    def prepare(self, native: NativeCase, settings: PreprocessingSettings) -> Prepared:
        """Normalize and resample a case."""
        return preprocess(native, settings, self.normalization).prepared()


@dataclass(frozen=True)
class VolumeFolder:
    """A dataset folder of volumes.

    Args:
        case_format: What is looked for.
        rules: How files lie.
        endings: What their names say.
        files: Every visible file.
    """

    case_format: SegmentationCases
    rules: Layout
    endings: FileEndings
    files: tuple[Path, ...]

    @property
    def layout(self) -> str:
        """Short name of the layout."""
        return self.rules.name

    def find(self) -> FoundCases:
        """Put the files together to cases, and describe those that were not recognized."""
        found = accept_incomplete(
            self.rules.find(self.files, self.case_format.inputs),
            self.case_format.inputs,
            self.case_format.may_lack,
        )
        unknown = unknown_files(self.files, found.understood)
        notices = (*found.notices, *_describe_unknown(self.files, unknown, found, self.endings))
        names = self.case_format.vocabulary.patient_names
        return replace(found, notices=notices, unknown=unknown, patient_names=names)

    def read_targets(
        self,
        cases: Sequence[Case],
        *,
        convention: str | None,
        index: SourceIndex,
        progress: Progress | None = None,
    ) -> TargetReading:
        """Read all labels and decide what their values mean."""
        labels = self.case_format.labels
        values, problems = read_labels(cases, index, progress)
        # A value of no convention says nothing about which one the site uses.
        telling = {case_id: marked for case_id, marked in values.items() if marked <= labels.known_values}
        if not telling:
            return TargetReading(False, problems=(*problems, *_contradictions(values, labels, None, False)))
        reading = labels.decide(telling, self.rules, convention)
        doubts = (Finding(code=DataCode.DOUBTFUL_CONVENTION, detail=reading.doubt),) if reading.doubt else ()
        wrong = _contradictions(values, labels, reading.convention, True)
        return TargetReading(True, reading.convention, (*problems, *wrong), doubts)


def _describe_unknown(
    files: Sequence[Path], unknown: Sequence[Path], found: FoundCases, endings: FileEndings
) -> Iterator[Finding]:
    """Count the files that were not recognized, by the endings of their names: an image may be among them."""
    if not unknown:
        return
    problems = [problem for problem in found.problems if problem.code is DataCode.MISSING_IMAGE]
    unlabeled = sum(not case.labeled for case in found.cases)
    lacking = [f"{counted(len(problems), 'case')} without an image of each kind"] if problems else []
    lacking += [f"{counted(unlabeled, 'case')} without a label"] if unlabeled else []
    ids = [*(case.id for case in found.cases), *(problem.case for problem in found.problems)]
    seen = (
        f"Not used, because their names say nothing: {len(unknown)} of {counted(len(files), 'file')} "
        f"({count_endings(unknown, ids, endings)})"
    )
    sentences = [seen, *(["; ".join(lacking)] if lacking else []), *describe_foreign(unknown, endings)]
    sentences.append(endings.how_to_name())
    yield Finding(code=DataCode.UNKNOWN_FILES, detail=". ".join(sentences))


def _contradictions(
    values: Mapping[str, Values], labels: Labels, convention: str | None, decided: bool
) -> Iterator[Finding]:
    """Cases whose label holds a value that the site's convention doesn't have."""
    for case_id, marked in values.items():
        if unknown := marked - labels.known_values:
            detail = f"The label holds {list_values(unknown)}, which no convention knows."
            yield Finding(case_id=case_id, code=VolumeCode.BAD_LABEL_VALUE, detail=detail)
        elif decided and (foreign := marked - labels.values(convention).keys()):
            detail = f"The label holds {list_values(foreign)}; the site's labels are {convention}."
            yield Finding(case_id=case_id, code=VolumeCode.OTHER_CONVENTION, detail=detail)
