"""The cases of a training without a federation: folders on this machine, or what a hospital's kit names."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nvflare.apis.fl_constant import WorkspaceConstants

from consilium.counts import count_patients, list_counts
from consilium.data.files import require_outside
from consilium.data.output_claim import claim_folder
from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.federation.site.local_settings import parse_site_settings, scope_properties
from consilium.participant.patient_selection import describe_sets
from consilium.participant.site_cases import QUARANTINE_FILE
from consilium.participant.site_data import SiteData, prepare_site
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.simulation.environment import with_split_salts
from consilium.simulation.hospitals import NamesAndLabels, site_settings
from consilium.tasks.learning_settings import LearningSettings

_STATE = "state"


def folder_sites(
    folders: Mapping[str, Path],
    out: Path,
    *,
    seed: int,
    evaluators: Collection[str] = (),
    min_patients: int | None = None,
    names: NamesAndLabels | None = None,
) -> dict[str, SiteSettings]:
    """Return the settings of folders of cases, whose patients are divided as in a simulation.

    Args:
        folders: Site name to the folder with its cases.
        out: The training's folder.
        seed: The job's.
        evaluators: Sites that are only evaluated on.
        min_patients: Fewest patients of a training set, and of an evaluated one; default: as at a hospital.
        names: What the hospitals say of their files and labels.

    Raises:
        ConfigurationError: A name or a folder can't be used, or an evaluator is none of the sites.
    """
    sites = site_settings(folders, out, frozenset(evaluators), min_patients, names, fewest=1)
    state = out / _STATE
    return {
        name: site.model_copy(update={"state_dir": state / name, "cpu_threads": None, "processes": "auto"})
        for name, site in with_split_salts(sites, seed).items()
    }


def kit_site(folder: Path, out: Path, task: str) -> dict[str, SiteSettings]:
    """Return the settings of a hospital's kit, by the site's name: patients are in the sets of its jobs.

    Args:
        folder: The kit's.
        out: The training's folder.
        task: Of the job.

    Raises:
        ConfigurationError: It is no kit of a site, its settings can't be used, or the training's folder lies
            in the hospital's.
        SiteRefusal: The task is of another package, and the hospital has not listed it.
    """
    kit = Kit(folder)
    if kit.kind != "client":
        raise ConfigurationError(f"{folder} is the kit of a {kit.kind}, which has no patients; name a site's")
    source = kit.local / WorkspaceConstants.PRIVACY_CONFIG
    properties = scope_properties(source, None)
    site = parse_site_settings(properties, source=source, root=kit.root.resolve()).for_task(task)
    require_outside(out, site.dataset, "--out")
    return {kit.site_name: site}


@contextmanager
def claim_training(out: Path) -> Iterator[None]:
    """Keep a training's folder for it within a block, without what sites remembered of an earlier one.

    Sets follow from patients and seed, whatever was before; a kit's site remembers its own in the kit.

    Args:
        out: The folder.

    Raises:
        ConfigurationError: It holds something else, or another run uses it.
    """
    with claim_folder(out, "--out", "a training without a federation", ("cache", _STATE)):
        shutil.rmtree(out / _STATE, ignore_errors=True)
        yield


def prepare(
    sites: Mapping[str, SiteSettings],
    learning: LearningSettings,
    *,
    say: Callable[[str], None],
    show: Callable[[str], None],
) -> dict[str, SiteData]:
    """Check, preprocess and divide the cases of all sites, as before a job.

    Args:
        sites: Site name to its settings.
        learning: What is trained.
        say: Called with a line for each site: its sets, and what is left out.
        show: Called with the progress.

    Raises:
        ConfigurationError: A site's cases can't be used, or none of them has any to train on.
        DataError: The cache or a register can't be written.
    """
    prepared = {}
    for name, site in sites.items():

        def report(done: int, total: int, what: str, *, name: str = name) -> None:
            show(f"{name}: {what}, {done} of {total}")

        show(f"{name}: looking for its cases")
        try:
            data = prepare_site(site, learning, name=name, progress=report)
        except SiteRefusal as refusal:
            raise ConfigurationError(
                f"{name} can't be trained on: {refusal}\n  {_remedy(refusal, site)}"
            ) from None
        train, validation, test = map(count_patients, (data.train, data.validation, data.test))
        sets = describe_sets(train, validation, test)
        say(f"{name}: {sets[0].lower()}{sets[1:]}")
        if data.left_out:
            left_out = list_counts(data.left_out)
            say(f"  left out: {left_out}; {site.cache_dir / QUARANTINE_FILE} names the cases")
        prepared[name] = data
    if not any(data.train for data in prepared.values()):
        raise ConfigurationError(
            f"no patient of {', '.join(sites)} can be trained on; give a folder with labeled cases of more "
            "patients"
        )
    return prepared


def _remedy(refusal: SiteRefusal, site: SiteSettings) -> str:
    """Return what to do: a round of few samples is the settings' fault, any other reason the cases'."""
    if refusal.code is RefusalCode.FEW_PATIENTS_A_ROUND:
        return (
            f"for example `--set learning.local_steps={site.min_training_patients}`, or --min-patients for a "
            "trial"
        )
    return (
        f"`consilium check {site.dataset}` names the cases; with few patients, --min-patients lowers the "
        "minimum"
    )
