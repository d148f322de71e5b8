"""Case format of a problem: finding, reading and preparation of its cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pydantic import BaseModel

from consilium.data.case import Case
from consilium.data.case_check import CaseCheck
from consilium.data.case_preparation import CasePreparation, Examination, PreparationSettings
from consilium.data.finding import Finding
from consilium.data.visits import PatientNames

if TYPE_CHECKING:
    from consilium.data.cached_case import CachedCase
    from consilium.data.sources import SourceIndex

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called as `progress(done, total, what)`; `what` names the step, never a patient."""


@dataclass(frozen=True)
class FoundCases:
    """Cases found by the names in a dataset folder, and incomplete ones.

    Args:
        cases: Whole cases. Their images are those that the problem uses, in its order.
        problems: What makes the others unusable.
        incomplete: Cases among those with problems that have images, which can be looked at all the same.
        notices: What somebody should look at although the case is used, or belongs to no case.
        understood: The files whose names say what they are, used or not.
        unknown: The files that may be images and whose names were not recognized.
        patient_names: How ids name patients; default: as in any data.
    """

    cases: tuple[Case, ...]
    problems: tuple[Finding, ...] = ()
    incomplete: tuple[Case, ...] = ()
    notices: tuple[Finding, ...] = ()
    understood: frozenset[Path] = frozenset()
    unknown: tuple[Path, ...] = ()
    patient_names: PatientNames = field(default_factory=PatientNames)


@dataclass(frozen=True)
class TargetReading:
    """Meaning of the targets of a whole site, determined from all of them.

    Args:
        meaningful: Whether targets can be used at all; False where nothing shows what they mean.
        convention: What they mean, by its name; None where the problem has but one meaning.
        problems: The cases whose target can't be used.
        notices: What speaks against the reading.
    """

    meaningful: bool
    convention: str | None = None
    problems: tuple[Finding, ...] = ()
    notices: tuple[Finding, ...] = ()


class DatasetFolder(Protocol):
    """The folder of a site as a format understands it."""

    @property
    def layout(self) -> str:
        """Short name of how files lie in it, as it is in reports; one of the format's `layouts`."""

    def find(self) -> FoundCases:
        """Put files together to cases.

        Raises:
            DataError: The folder contradicts itself, for example in a file that describes it.
        """

    def read_targets(
        self,
        cases: Sequence[Case],
        *,
        convention: str | None,
        index: SourceIndex,
        progress: Progress | None = None,
    ) -> TargetReading:
        """Determine the meaning of a site's targets.

        Args:
            cases: Those that have a target, also incomplete ones.
            convention: What the hospital says; it is then followed.
            index: What is known of files; what is read is kept in it.
            progress: Called for each target.

        Raises:
            FolderError: They can mean several things.
        """


class CaseChecks(Protocol):
    """Checks of a problem within one case and between two cases.

    It is sent to the processes that read cases.
    """

    @property
    def version(self) -> str:
        """Another one where the same files would give other findings."""

    @property
    def check_type(self) -> type[CaseCheck]:
        """What is kept of a case: `CaseCheck`, or a subclass with facts of the problem's own."""

    def check(
        self, case: Case, convention: str | None, inputs: Sequence[str], examination: Examination[Any]
    ) -> CaseCheck:
        """Run all checks on a case that was read.

        Args:
            case: The case.
            convention: What its target's values mean.
            inputs: Names of the images to check.
            examination: What reading it found.
        """

    def against_job(self, checks: Mapping[str, CaseCheck], learning: BaseModel) -> Iterator[Finding]:
        """Find differences from a job's settings in a correct case, such as another voxel size.

        Args:
            checks: What was found in each case alone, by id.
            learning: What the job decides about learning.
        """

    def alike(self, appearances: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
        """Find cases that may show one patient.

        Args:
            appearances: Case id to `CaseCheck.appearance`.

        Yields:
            Two case ids, and how alike they are, 0 to 1.
        """

    def same(self, one: str, other: str) -> bool:
        """Return whether two appearances can only be of one examination."""


class CaseFormat(CasePreparation, Protocol):
    """Interface of a problem to find, read and prepare its cases.

    It is sent to the processes that read cases, so it is small and a top-level class can be imported there.
    `Case.images` and `Case.target` hold what is used: the content of all of it enters the key of a case.
    """

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the images that a case must have, in the network's order."""

    @property
    def may_lack(self) -> tuple[str, ...]:
        """Names of the images without which a case is used all the same; see `lacking`."""

    @property
    def layouts(self) -> tuple[str, ...]:
        """Names of all layouts that `open_folder` may recognize; the server accepts no other from a site."""

    @property
    def conventions(self) -> tuple[str, ...]:
        """Conventions that a hospital may state for its targets; empty if there is no choice."""

    @property
    def checks(self) -> CaseChecks:
        """What is checked in a case, and between two of them."""

    @property
    def case_type(self) -> type[CachedCase]:
        """Class of opened cases: `CachedCase`, or a subclass with properties for their arrays."""

    def preparation(self, job: BaseModel) -> PreparationSettings:
        """Select from a job's settings those that preparation depends on."""

    def lacking(self, inputs: Collection[str]) -> CaseFormat:
        """Return the format of cases that may lack some images, and are used without them.

        Of each case at least one image is needed. One that lacks images has a finding of `ABSENT_IMAGE`.

        Args:
            inputs: Names of the images that may be missing.

        Raises:
            ConfigurationError: A name is none of its inputs, or the problem has no use for incomplete cases.
        """

    def check_endings(self, endings: Mapping[str, Sequence[str]]) -> None:
        """Check a hospital's additional endings of file names.

        Raises:
            ConfigurationError: An ending is none, or belongs to nothing that there is.
        """

    def open_folder(
        self, folder: Path, files: Sequence[Path], endings: Mapping[str, Sequence[str]]
    ) -> DatasetFolder:
        """Recognize how the files of a folder lie.

        Args:
            folder: The dataset folder.
            files: Every visible file under it.
            endings: What the hospital adds to the known endings of file names: an input, or `label`, to them.

        Raises:
            FolderError: They lie in no known way, or in several.
            ConfigurationError: See `check_endings`.
        """
