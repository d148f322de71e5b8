"""BraTS releases: one NIfTI file a modality, usually one folder a case, in any depth of folders.

2018 to 2021 write `<case>_t1ce.nii.gz`, 2023 and later `<case>-t1c.nii.gz`
(https://www.synapse.org/brats, https://www.med.upenn.edu/cbica/brats2021).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consilium.data.case import Case, CaseProblem, ProblemCode, Volume
from consilium.data.conventions import from_2018_names, from_2023_names
from consilium.data.labels import LabelConvention
from consilium.data.layouts.base import FoundCases, nifti_stem
from consilium.data.visits import patient_by_name

_LABEL = "label"

_Files = dict[str, Path]


@dataclass(frozen=True)
class BratsLayout:
    """The file names of one generation of BraTS.

    Args:
        name: Short name, as it stands in reports.
        separator: What stands between the case and the kind of file.
        kinds: Ending of the file name to canonical modality, or to the label.
        rule: Finds the label convention that goes with these names.
    """

    name: str
    separator: str
    kinds: Mapping[str, str]
    rule: Callable[[Collection[frozenset[float]]], LabelConvention]

    @property
    def expects(self) -> str:
        """The files that it looks for, as they stand in an error message."""
        return " ".join(f"<case>{self.separator}{ending}.nii[.gz]" for ending in self.kinds)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Canonical names of the modalities that it knows."""
        return tuple(dict.fromkeys(kind for kind in self.kinds.values() if kind != _LABEL))

    def claims(self, path: Path) -> bool:
        """Whether the name ends in one of the kinds."""
        return self._parse(path) is not None

    def find(self, files: Sequence[Path], modalities: Sequence[str]) -> FoundCases:
        """Group files by folder and case; one that lacks an image or has one twice is a problem.

        Args:
            files: Every visible file of the dataset folder.
            modalities: Canonical names of the images that a case must have.
        """
        groups: dict[Path, dict[str, _Files]] = defaultdict(lambda: defaultdict(dict))
        twice: dict[tuple[Path, str], str] = {}
        for path in files:
            if parsed := self._parse(path):
                case_id, kind = parsed
                first = groups[path.parent][case_id].setdefault(kind, path)
                if first is not path:
                    twice[path.parent, case_id] = f"{first} and {path} are both its {kind}."
        cases: list[Case] = []
        problems: list[CaseProblem] = []
        for folder, by_case in groups.items():
            _adopt_stray_label(by_case)
            for case_id, found in by_case.items():
                missing = [name for name in modalities if name not in found]
                if detail := twice.get((folder, case_id)):
                    problems.append(CaseProblem(case_id, ProblemCode.DUPLICATE_FILE, detail))
                elif missing:
                    detail = f"{folder} has no {', '.join(missing)} image (has: {', '.join(sorted(found))})."
                    problems.append(CaseProblem(case_id, ProblemCode.MISSING_MODALITY, detail))
                else:
                    cases.append(
                        Case(
                            id=case_id,
                            patient=patient_by_name(case_id),
                            images={name: Volume(found[name]) for name in modalities},
                            label=Volume(found[_LABEL]) if _LABEL in found else None,
                        )
                    )
        return FoundCases(tuple(cases), tuple(problems))

    def convention(self, labels: Collection[frozenset[float]]) -> LabelConvention:
        """The site's label convention, by the rule that goes with these names."""
        return self.rule(labels)

    def _parse(self, path: Path) -> tuple[str, str] | None:
        """Case id and kind of file, None for a file of another layout."""
        stem = nifti_stem(path)
        if stem is None:
            return None
        case_id, separator, ending = stem.rpartition(self.separator)
        kind = self.kinds.get(ending.lower())
        return (case_id, kind) if case_id and separator and kind else None


def _adopt_stray_label(by_case: dict[str, _Files]) -> None:
    """Give a label under a foreign name to the one case in its folder that lacks a label.

    BraTS 2020 ships case 355 with its label as `W39_1998.09.19_Segm.nii`.
    """
    strays = [case_id for case_id, found in by_case.items() if set(found) == {_LABEL}]
    if len(strays) == 1 and len(by_case) == 2:
        (owner,) = by_case.keys() - strays
        if _LABEL not in by_case[owner]:
            by_case[owner][_LABEL] = by_case.pop(strays[0])[_LABEL]


BRATS_2018 = BratsLayout(
    name="brats-2018",
    separator="_",
    kinds={"t1": "t1", "t1ce": "t1ce", "t2": "t2", "flair": "flair", "seg": _LABEL, "segm": _LABEL},
    rule=from_2018_names,
)
BRATS_2023 = BratsLayout(
    name="brats-2023",
    separator="-",
    kinds={"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair", "seg": _LABEL},
    rule=from_2023_names,
)
