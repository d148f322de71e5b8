"""`consilium simulate`: run a job on folders of cases on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from consilium.cli.options import (
    SUBGROUPS_HELP,
    FileEndings,
    Job,
    LocalOnly,
    OutFolder,
    StartFrom,
    parse_endings,
)
from consilium.cli.site_options import (
    AcceptedFiles,
    Conventions,
    Evaluators,
    Missing,
    MissingInputs,
    PatientsFiles,
    parse_conventions,
    parse_files,
    parse_missing_at_sites,
    parse_sites,
)
from consilium.cli.terminal import LOADING, say_result
from consilium.default_task import DEFAULT, training_job

EPILOG = f"""
Two hospitals' folders, in any of the layouts that docs/data.md lists:

  $ consilium simulate {training_job()} --out runs/first \\
  --site a=/data/a --site b=/data/b

A job with other settings:

  $ consilium jobs export {training_job()} --to runs/jobs --set rounds=2

  $ consilium simulate runs/jobs/{training_job()} --out runs/short \\
  --site a=/data/a --site b=/data/b

Before training: who is ready, and who must fix what?

  $ consilium simulate {DEFAULT}_check --out runs/check \\
  --site a=/data/a --site b=/data/b
"""


def simulate(
    job: Job,
    site: Annotated[
        list[str],
        typer.Option(metavar="NAME=DIR", help="A hospital and the folder of its cases.", show_default=False),
    ],
    out: OutFolder,
    evaluates: Evaluators = None,
    convention: Conventions = None,
    file_ending: FileEndings = None,
    missing: MissingInputs = None,
    patients: PatientsFiles = None,
    accepted: AcceptedFiles = None,
    subgroups: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help=SUBGROUPS_HELP, show_default=False),
    ] = None,
    local_only_model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL",
            help="A hospital's own model, as `consilium train` writes it; a job with local_only compares the "
            "models that it evaluates with it.",
            show_default=False,
        ),
    ] = None,
    min_patients: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Fewest patients in anything that a site sends. Default: as at a hospital, 3 in training "
            "and 5 for counts.",
            show_default=False,
        ),
    ] = None,
    local_only: LocalOnly = False,
    start_from: StartFrom = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Train every hospital alone and all data pooled as well; these models always without the "
            "noise of differential privacy.",
        ),
    ] = False,
) -> None:
    """Run a job on folders of cases in FLARE's simulator, under the policy of real sites; write a report.

    The folders are only read. A site with fewer than three labeled patients declines; with
    --min-patients 1, a site with one evaluates and does not train. Results are below OUT:
    `report/index.html`, `result/` (the record; models, metrics, TensorBoard events), and each site's own log
    in `simulation/<site>/log.txt`, which names the patients that were left out.

    Exit code: 0 the job ran to its end, 2 an error, with the next step in its message. A job
    that ended for lack of sites has a report as well, with each site's reason and remedy.
    """
    from consilium.cli.report import print_result
    from consilium.simulation.display import Display

    sites = parse_sites(site)
    with Display() as display:
        display.show(LOADING)
        from consilium.records.federation import FederationRecord
        from consilium.records.outcome import determine_outcome
        from consilium.simulation.hospitals import NamesAndLabels
        from consilium.simulation.run import simulate as run

        conventions: Mapping[str, str] = {}
        endings: Mapping[str, tuple[str, ...]] = {}
        lacking = Missing()
        if convention or file_ending or missing:
            from consilium.recipes.exported_job import job_task
            from consilium.recipes.job_folder import job_folder
            from consilium.tasks import get_task

            with job_folder(job) as folder:
                task = get_task(job_task(folder))
            conventions = parse_conventions(convention or (), sites, task.cases)
            endings = parse_endings(file_ending or (), task.cases)
            lacking = parse_missing_at_sites(missing or (), sites, task)
        done = run(
            job,
            sites,
            out,
            evaluators=evaluates or (),
            min_patients=min_patients,
            names=NamesAndLabels(
                conventions=conventions,
                file_endings=endings,
                missing_inputs=lacking.inputs,
                missing_targets=lacking.targets,
                patients_files=parse_files("--patients", patients or (), sites),
                accepted_files=parse_files("--accepted", accepted or (), sites),
                subgroups_files=parse_files("--subgroups", subgroups or (), sites),
                local_only_models=parse_files(
                    "--local-only-model", local_only_model or (), sites, folders=True
                ),
            ),
            local_only=local_only,
            compare=compare,
            initial=start_from,
            display=display,
        )
    if not isinstance(done.record, FederationRecord):
        print_result(done.record, determine_outcome(done.record))
    say_result(done.page)
