"""The hospitals of a simulation: their folders and settings, checked before the start."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consilium.data.files import output_folder, readable
from consilium.data.output_claim import claim_folder
from consilium.errors import ConfigurationError
from consilium.federation.safe_names import check_site_names
from consilium.guard.start_check import is_one_word
from consilium.participant.site_settings import SiteSettings
from consilium.participant.task_data import list_installed
from consilium.privacy.demand import PrivacyDemand
from consilium.process_limits import available_cores

WORKSPACE: Final = "simulation"
"""Folder of a study in which FLARE's simulator works."""

_MINIMUMS = ("min_count", "min_training_patients")


@dataclass(frozen=True)
class NamesAndLabels:
    """Settings of simulated hospitals about their files, as in real hospitals' settings.

    Args:
        conventions: Site name to what its label values mean; the others' are found from names and values.
        file_endings: Endings of file names to read at all of them beside the known ones.
        missing_inputs: Site name to the images that it doesn't acquire.
        missing_targets: Site name to the targets that its labels lack.
        patients_files: Site name to the file that declares its patients.
        accepted_files: Site name to the file of findings that it accepts.
        subgroups_files: Site name to the file of subgroups that it wants models evaluated in.
        local_only_models: Site name to its own model, which an evaluation may compare others with.
    """

    conventions: Mapping[str, str] = field(default_factory=dict)
    file_endings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing_inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing_targets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients_files: Mapping[str, Path] = field(default_factory=dict)
    accepted_files: Mapping[str, Path] = field(default_factory=dict)
    subgroups_files: Mapping[str, Path] = field(default_factory=dict)
    local_only_models: Mapping[str, Path] = field(default_factory=dict)


def site_settings(
    sites: Mapping[str, Path],
    out: Path,
    evaluators: frozenset[str],
    min_patients: int | None = None,
    names: NamesAndLabels | None = None,
    *,
    fewest: int = 2,
    test_fractions: Mapping[str, float] | None = None,
) -> dict[str, SiteSettings]:
    """Return what each simulated hospital decides.

    Args:
        sites: Site name to the folder with its cases.
        out: The study's folder.
        evaluators: Sites that only evaluate.
        min_patients: Fewest patients behind whatever a site sends; default: as at a hospital.
        names: What the hospitals say of their files and labels; default: nothing.
        fewest: Sites that there have to be; one where nothing is federated.
        test_fractions: Share of the patients that a site tests on; default: as at a hospital.

    Raises:
        ConfigurationError: If there are too few sites, a name or a folder can't be used, or an evaluator is
            none of them.
    """
    if len(sites) < fewest:
        raise ConfigurationError(
            f"a federation needs two sites or more, and {len(sites)} is given: --site NAME=FOLDER"
            if fewest > 1
            else "no site is given: --site NAME=FOLDER"
        )
    if evaluators - sites.keys():
        raise ConfigurationError(
            f"no site is named {', '.join(sorted(evaluators - sites.keys()))}; named: {', '.join(sites)}"
        )
    check_folders(sites, out)
    threads = max(1, available_cores() // len(sites))
    minimums = {} if min_patients is None else dict.fromkeys(_MINIMUMS, min_patients)
    said = names or NamesAndLabels()
    tested = {name: {"test_fraction": share} for name, share in (test_fractions or {}).items()}
    return {
        name: SiteSettings.parse(
            {
                "dataset": folder.absolute(),
                "cache_dir": out / "cache" / name,
                # Removed with the workspace: the next simulation remembers nothing of this one.
                "state_dir": out / WORKSPACE / name / "site_state",
                "cpu_threads": threads,
                "processes": 1,  # the sites train side by side
                "role": "evaluates" if name in evaluators else "trains",
                "label_convention": said.conventions.get(name),
                "file_endings": dict(said.file_endings),
                "missing_inputs": said.missing_inputs.get(name, ()),
                "missing_targets": said.missing_targets.get(name, ()),
                "patients_file": _absolute(said.patients_files.get(name)),
                "accepted_findings": _absolute(said.accepted_files.get(name)),
                "subgroups_file": _absolute(said.subgroups_files.get(name)),
                "local_only_model": _absolute(said.local_only_models.get(name)),
                "tasks": list_installed(),
                # One machine reads the folders of all of them.
                "privacy": PrivacyDemand(updates_to_hospitals=True),
                **minimums,
                **tested.get(name, {}),
            },
            source=f"the options, as settings of site {name}",
        )
        for name, folder in sites.items()
    }


def check_folders(sites: Mapping[str, Path], out: Path) -> None:
    """Check the hospitals' names and folders, and make the folder for the results.

    Args:
        sites: Site name to the folder with its cases.
        out: Where everything goes.

    Raises:
        ConfigurationError: If one of them can't be used, with what to do.
    """
    check_site_names(list(sites))
    for name, folder in sites.items():
        _check_dataset(name, folder, out)
    seen: dict[Path, str] = {}
    for name, folder in sites.items():
        other = seen.setdefault(folder.resolve(), name)
        if other != name:
            raise ConfigurationError(
                f"sites {other} and {name} have one folder, {folder}: each hospital has patients of its own; "
                "give one of the two another folder"
            )
        place = folder.resolve()
        nested = [site for one, site in seen.items() if one in place.parents or place in one.parents]
        if nested:
            raise ConfigurationError(
                f"one of the folders of sites {nested[0]} and {name} lies in the other: each hospital has "
                "patients of its own; give one of the two another folder"
            )
    output_folder(out, "--out")


def claim_simulation(out: Path, kind: str) -> AbstractContextManager[Path]:
    """Keep the folder of a simulation for it within a block: it replaces the result that is in it.

    Args:
        out: The folder.
        kind: Of the job, such as `training`.

    Raises:
        ConfigurationError: It holds something else, such as the result of a job of another kind, or another
            run uses it.
    """
    return claim_folder(out, "--out", f"a simulated {kind} job", ("cache", WORKSPACE))


@contextmanager
def without_spaces(folder: Path) -> Iterator[Path]:
    """Give a folder a path without spaces: FLARE's simulator splits its command line at them.

    Args:
        folder: A folder whose own name has none.

    Yields:
        The folder, or the same by a link to its parent, which is removed afterwards.

    Raises:
        ConfigurationError: If that can't be done.
    """
    if not is_one_word(sys.executable):
        raise ConfigurationError(
            f"this Python lies in a folder with a space in its name, {sys.executable}, which FLARE's "
            "simulator can't start; make the virtual environment elsewhere"
        )
    if is_one_word(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="consilium-") as place:
        if not is_one_word(place):
            raise ConfigurationError(
                f"{folder} has a space in its name, which FLARE's simulator can't take, and so has the "
                f"temporary folder {place}; set TMPDIR to one without, or choose another --out"
            )
        link = Path(place) / "parent"  # FLARE removes the folder itself, which it can't where that is a link
        link.symlink_to(folder.resolve().parent, target_is_directory=True)
        yield link / folder.name


def _check_dataset(name: str, folder: Path, out: Path) -> None:
    if not folder.is_dir():
        raise ConfigurationError(
            f"site {name}: {folder} is not a folder; give the folder that holds its cases"
        )
    if readable(folder.absolute()) != str(folder.absolute()):
        raise ConfigurationError(
            f"site {name}: the name {readable(folder.absolute())} is not UTF-8; make a link to the folder "
            "with another name"
        )
    if out.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"{out} lies in the folder of site {name}, {folder}, which is only read; choose another --out"
        )


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()
