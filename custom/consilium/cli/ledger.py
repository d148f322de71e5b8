"""`consilium ledger`: what a hospital's patients have spent of their privacy, and what a job would spend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from consilium.cli.options import TRAINING_PATIENTS, Json, KitFolder
from consilium.cli.terminal import loading, say, say_error, say_json
from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal

if TYPE_CHECKING:
    from consilium.participant.ledger_summary import LedgerSummary
    from consilium.privacy.planning import PlannedNoise

DAMAGED = 1

app = typer.Typer(
    no_args_is_help=True,
    help="Show and verify what jobs with differential privacy have spent of a hospital's patients; plan one.",
)

_SHOW_EPILOG = """
On the hospital's machine, as the account that runs the site:

  $ consilium ledger show /opt/consilium/north

Epsilon is a patient's, composed over all jobs with noise: it is less than the sum of theirs. A job without
noise has no epsilon: nothing bounds what it revealed of its patients. No patient is named, but the counts are
of few patients at times: keep the output in the hospital.

Exit code: 0 shown, 2 KIT or the ledger can't be used, with the next step in the message.
"""

_VERIFY_EPILOG = """
Regularly, and before the ledger's files are copied:

  $ consilium ledger verify /opt/consilium/north

It prints the ledger's head, a number and a hash. Kept elsewhere, such as in the officer's file, it shows
later that nothing before it was changed, removed or restored from an older copy:

  $ consilium ledger verify /opt/consilium/north --head "412 5b1f..."

Exit code: 0 the ledger is as this site wrote it, 1 it is not, 2 KIT can't be used.
"""

_PLAN_EPILOG = """
An epsilon of 3 at a hospital with 120 training patients:

  $ consilium ledger plan --epsilon 3 --training-patients 120 --rounds 20

A step draws 8 of them on average, and a round has 40 steps, unless --batch and --steps say otherwise. No kit
is needed. For a level of protection instead of an epsilon, in more rounds:

  $ consilium ledger plan --level formal --training-patients 120 --rounds 50

For noise that hides the hospital as a whole (hospital_noise), which is no protection by patient: the noise
that an epsilon of 8 takes, and the epsilon of a noise multiplier of 2.5:

  $ consilium ledger plan --unit hospital --epsilon 8 --rounds 20

  $ consilium ledger plan --unit hospital --noise 2.5 --rounds 20
"""

Task = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A task with a dataset of its own at this site, which has a ledger of its own. Default: the "
        "site's dataset.",
        show_default=False,
    ),
]


@app.command("show", epilog=_SHOW_EPILOG)
def show(kit: KitFolder, task: Task = None, as_json: Json = False) -> None:
    """Show what jobs have spent of a hospital's patients, and what its budget has left.

    Nothing leaves this machine, and nothing is changed.
    """
    with loading("the ledger"):
        from consilium.participant.ledger_summary import summarize_ledger
        from consilium.site_check.kit_settings import read_kit_settings

        summary = summarize_ledger(read_kit_settings(kit, task))
    if as_json:
        say_json(summary.as_json())
    else:
        _print_summary(summary)


@app.command("verify", epilog=_VERIFY_EPILOG)
def verify(
    kit: KitFolder,
    task: Task = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD", help="A head that was noted earlier: the ledger must hold it.", show_default=False
        ),
    ] = None,
) -> None:
    """Verify that a hospital's ledger is complete and unchanged, and print its head."""
    with loading("the ledger"):
        from consilium.counts import counted
        from consilium.participant.ledger_summary import read_ledger
        from consilium.site_check.kit_settings import read_kit_settings

        site = read_kit_settings(kit, task)
        try:
            content = read_ledger(site)
        except SiteRefusal as error:
            if error.code is not RefusalCode.PRIVACY_LEDGER:
                raise
            say_error(str(error))
            raise typer.Exit(DAMAGED) from None
    if head is not None and not content.holds(head):
        say_error(
            f"The ledger does not hold the head {head!r}: it was replaced by an older or another one, or "
            "the head is of another site. Restore both of its files from their newest copy."
        )
        raise typer.Exit(DAMAGED)
    if not content.events:
        say("The ledger is empty: no job has trained on patients of this site yet.", err=True)
    else:
        say(f"{counted(len(content.entries), 'payment')}, as this site wrote them", err=True)
    if content.head:
        say(content.head)


@app.command("plan", epilog=_PLAN_EPILOG)
def plan(
    patients: Annotated[
        int | None, typer.Option("--training-patients", help=TRAINING_PATIENTS, show_default=False)
    ] = None,
    unit: Annotated[
        str,
        typer.Option(
            metavar="UNIT",
            help="Whose presence the noise hides: patient (DP-SGD) or hospital (hospital_noise).",
        ),
    ] = "patient",
    epsilon: Annotated[
        float | None,
        typer.Option(
            help="Most that the whole job may spend of the unit. Default: the level's.", show_default=False
        ),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="Noise multiplier of a hospital, in place of --epsilon.", show_default=False),
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL",
            help="Level of protection, in place of an epsilon or to check it: formal (8) or reconstruction "
            "(1000).",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of the job.")] = 10,
    steps: Annotated[
        int | None, typer.Option(help="Steps of a round. Default: 40.", show_default=False)
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Patients that a step draws, on average. Default: 8.", show_default=False),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            help="Default: 0.1 divided by the patients, or 0.0001 for a hospital.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the noise of a job with differential privacy, and what each of its rounds spends."""
    values = {"epsilon": epsilon, "delta": delta, "rounds": rounds}
    of_patient = {"level": level, "patients": patients, "batch": batch, "steps": steps}
    of_hospital = {"noise_multiplier": noise}
    own, others = (of_hospital, of_patient) if unit == "hospital" else (of_patient, of_hospital)
    given = {name: value for name, value in {**values, **own}.items() if value is not None}
    with loading("the accountant"):
        from consilium.privacy.planning import (
            PlannedHospitalNoise,
            PlannedJob,
            plan_hospital_noise,
            plan_noise,
        )

        _check_options(unit, others)
        if unit == "hospital":
            planned = plan_hospital_noise(PlannedHospitalNoise.parse(given, source="the options"))
        else:
            planned = plan_noise(PlannedJob.parse(given, source="the options"))
    if as_json:
        say_json(planned.as_json())
    else:
        _print_plan(planned)


def _print_summary(summary: LedgerSummary) -> None:
    from consilium.counts import counted
    from consilium.report.terminal import Terminal, folding_table

    console = Terminal()
    if summary.jobs:
        table = folding_table(("job", "begun", "rounds", "attempts", "patients", "level", "epsilon"))
        for one in summary.jobs:
            names = "\n".join((one.job, *(f"resumed as {job}" for job in one.resumed_as)))
            spent = "no bound" if one.epsilon is None else f"{one.epsilon:.3g}"
            row = (names, one.begun, one.rounds, one.attempts, one.patients, one.level.value, spent)
            table.add_row(*map(str, row))
        console.print(table)
        table = folding_table(("epsilon of a patient", "patients"))
        for part in summary.ranges:
            upper = "" if part.to is None else f" to {part.to:g}"
            table.add_row(f"above {part.above:g}{upper}", str(part.patients))
        table.add_row("no bound: a job without noise", str(summary.unbounded))
        console.print(table)
    for note in summary.withdrawals:
        again = f"; a job has trained on {note.again} of them since" if note.again else ""
        console.print(
            f"{note.time}: {counted(note.patients, 'patient')} found to have withdrawn, of whom jobs "
            f"had trained on {note.spent}{again}"
        )
    budget = (
        "no budget"
        if summary.budget is None
        else f"budget {summary.budget:g}, left at least {summary.left:.3g}"
    )
    console.print(
        f"{counted(summary.patients, 'patient')}: largest epsilon of jobs with noise {summary.epsilon:.3g} "
        f"at delta {summary.delta:g}; {budget}; {counted(summary.withdrawn, 'withdrawn patient')} listed"
    )
    hospital = summary.hospital
    if hospital is not None:
        limit = "no budget" if hospital.budget is None else f"budget {hospital.budget:g}"
        left = "" if hospital.left is None else f", left at least {hospital.left:.3g}"
        console.print(
            f"the hospital as a whole, not by patient: {counted(hospital.attempts, 'payment')} of "
            f"{counted(hospital.jobs, 'job')}, epsilon {hospital.epsilon:.3g} at delta {hospital.delta:g}; "
            f"{limit}{left}"
        )


def _check_options(unit: str, others: Mapping[str, object]) -> None:
    """Reject an unknown unit, and options of the other one.

    Raises:
        ConfigurationError: There is one.
    """
    if unit not in ("patient", "hospital"):
        raise ConfigurationError(f"--unit is {unit!r}; allowed: patient, hospital")
    options = {"patients": "--training-patients", "noise_multiplier": "--noise"}
    given = [options.get(name, f"--{name}") for name, value in others.items() if value is not None]
    if given:
        other = "patient" if unit == "hospital" else "hospital"
        raise ConfigurationError(
            f"{', '.join(given)} can't be used with --unit {unit}; leave out what is of --unit {other}"
        )


def _print_plan(plan: PlannedNoise) -> None:
    from consilium.report.terminal import Terminal, folding_table

    console = Terminal()
    table = folding_table(("after round", "noise", "epsilon"))
    for number, spent in plan.epsilon_by_round:
        table.add_row(str(number), f"{plan.noise_multiplier:.4g}", f"{spent:.3g}")
    console.print(table)
    if plan.level is None:
        console.print(
            f"noise {plan.noise_multiplier:.4g} times the norm of a whole update, in every round; delta "
            f"{plan.delta:.3g}; it hides the hospital and is no protection by patient"
        )
        return
    console.print(
        f"noise {plan.noise_multiplier:.4g} times the clipping norm; a step draws a patient with probability "
        f"{plan.sampling_rate:.3g}; delta {plan.delta:.3g}; level {plan.level.value}"
    )
