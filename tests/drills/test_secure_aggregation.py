"""Secure aggregation among real processes: hospitals and the server are killed, or stop, in a round."""

from pathlib import Path

import pytest

from consilium.learning.algorithms.secagg_plan import ADVERTISE, CONFIRM, REVEAL, SHARE
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.secagg.local_federation import exchange_identities
from consilium.tasks.brain_tumor.synthetic import make_cohort
from consilium.tasks.brain_tumor.synthetic.grid import VoxelGrid
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec, HospitalSpec
from consilium.tasks.brain_tumor.synthetic.writers import CaseLayout
from integration.masked_training import ROUNDING, Fate, train_masked
from integration.security.federation import SERVER_NAME, SITES
from integration.studies import SMALL

from .consortium import DRILL_JOB, ROUNDS, Consortium

pytestmark = pytest.mark.drill

SEVEN = frozenset({"aster", "birch", "cedar", "dahlia", "elder", "fir", "gorse"})
FIVE = frozenset({"aster", "birch", "cedar", "dahlia", "elder"})
FOUR = frozenset({"aster", "birch", "cedar", "dahlia"})
COHORT = CohortSpec(
    hospitals=(HospitalSpec(name="all", layout=CaseLayout.DECATHLON, cases=4),),
    grid=VoxelGrid(shape=(38, 48, 38), spacing_mm=4.0),
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases of every hospital."""
    return make_cohort(COHORT, tmp_path_factory.mktemp("archive")).hospitals["all"]


def test_one_is_killed_while_it_sends_and_one_stops_before_it_confirms(cases: Path, tmp_path: Path) -> None:
    """The masks of the one, and the self-mask of the other, are recovered from the shares of the three."""
    fates = {"cedar": Fate(0, "while"), "dahlia": Fate(0, "after", "SIGSTOP")}
    ended = train_masked(tmp_path, cases, FIVE, fates, rounds=1)
    assert ended.record.status == "finished", ended.record.reason
    assert [one.attempts for one in ended.record.rounds] == [1]
    assert ended.answered(0, ADVERTISE) == ended.answered(0, SHARE) == FIVE
    assert ended.trained(0) == FIVE - {"cedar"}
    assert ended.answered(0, CONFIRM) == ended.answered(0, REVEAL) == FIVE - fates.keys()
    assert ended.distance(0, FIVE - {"cedar"}) < ROUNDING
    assert ended.distance(0, FIVE - fates.keys()) > 100 * ROUNDING
    assert ended.distance(0, FIVE) > 100 * ROUNDING
    assert ended.at_server == set()
    assert "memory" in ended.models_at_server, "the search finds what is there"


def test_three_of_seven_are_killed_and_return_to_the_next_round(cases: Path, tmp_path: Path) -> None:
    killed = {"birch": Fate(0, "before"), "cedar": Fate(0, "while"), "dahlia": Fate(0, "after")}
    stopped = {"elder": Fate(1, "after", "SIGSTOP")}
    ended = train_masked(tmp_path, cases, SEVEN, {**killed, **stopped}, rounds=2)
    assert ended.record.status == "finished", ended.record.reason
    assert [one.attempts for one in ended.record.rounds] == [1, 1]
    assert ended.answered(0, ADVERTISE) == ended.answered(0, SHARE) == SEVEN
    assert ended.trained(0) == SEVEN - {"birch", "cedar"}
    assert ended.answered(0, CONFIRM) == ended.answered(0, REVEAL) == SEVEN - killed.keys()
    assert ended.trained(1) >= SEVEN - killed.keys()
    assert ended.answered(1, CONFIRM) == ended.answered(1, REVEAL) == ended.trained(1) - {"elder"}
    for index, late in enumerate(("dahlia", "elder")):
        assert ended.distance(index, ended.trained(index)) < ROUNDING
        assert ended.distance(index, ended.trained(index) - {late}) > 100 * ROUNDING
    for site in killed:
        assert ended.record.final_sites[site].outcome == "evaluated"


def test_one_of_four_stops_before_it_sends_and_never_continues(cases: Path, tmp_path: Path) -> None:
    """The others' sums open without it; later questions wait for it only briefly, and the report names it."""
    silence = {"quorum.silence_minutes": 1}
    fate = Fate(0, "before", "SIGSTOP", returns=False)
    ended = train_masked(tmp_path, cases, FOUR, {"dahlia": fate}, rounds=2, settings=silence)
    record, others = ended.record, FOUR - {"dahlia"}
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [1, 1]
    assert ended.answered(0, SHARE) == FOUR
    for index in (0, 1):
        assert ended.trained(index) == ended.answered(index, REVEAL) == others
        assert ended.distance(index, others) < ROUNDING
    first, brief = "it sent nothing for 1 min", "it sent nothing for 0.5 min"
    assert record.rounds[0].sites["dahlia"].reason == first
    assert record.rounds[1].questions[ADVERTISE]["dahlia"].reason == brief
    assert {site for site, one in record.final_sites.items() if one.outcome == "evaluated"} == others
    assert f"dahlia is missing from round 1: {first}." in ended.page
    later = "round 2, the last validation and the final evaluation"
    assert f"dahlia is missing from {later}: {brief}." in ended.page


@pytest.fixture(scope="module")
def masked_job(running: Consortium, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drills' job by secure aggregation, of hospitals that have exchanged their identities."""
    exchange_identities({site: running.kits[site] / "local" for site in SITES})
    recipe = build_recipe("brain_tumor_fedavg_secagg", {**SMALL, **DRILL_JOB, "min_sites": len(SITES)})
    return export_job(recipe, tmp_path_factory.mktemp("masked"))


@pytest.mark.parametrize("job", [None, True], ids=["all of the server", "the job's process"])
def test_the_server_is_killed_and_the_sums_continue(
    consortium: Consortium, masked_job: Path, job: bool | None
) -> None:
    """The resumed job has another id and opens the sums of the rounds that were not durable."""
    job_id = consortium.submit(masked_job)
    consortium.wait_for_round(job_id, 3)
    consortium.kill(SERVER_NAME, job=job)
    durable = consortium.durable(job_id)
    assert durable >= 2
    outcome = consortium.wait_for_end(job_id)
    assert outcome.status == "FINISHED:COMPLETED"
    record = outcome.record
    assert [one.after_round for one in record.resumed] == [durable]
    assert [one.number for one in record.rounds] == list(range(1, ROUNDS + 1))
    assert {site: outcome.outcomes(site) for site in SITES} == dict.fromkeys(SITES, ["trained"] * ROUNDS)
    for one in record.rounds:
        assert {site for site, found in one.questions[REVEAL].items() if found.outcome == "answered"} == {
            *SITES
        }
        assert one.summed is not None
