"""A process that the system ends while it reads a case costs that case, and no other."""

import os
import signal
from dataclasses import dataclass

import pytest

from consilium.data import cohort_pass as module
from consilium.data.case_products import CaseProduct
from consilium.data.cohort import read_cohort
from consilium.data.cohort_pass import WorkersError, process_cases
from consilium.data.sources import SourceIndex
from consilium.tasks.brain_tumor.cases import CASES


@dataclass(frozen=True)
class Greedy(CaseProduct[str]):
    """Is ended as the kernel ends what takes the machine's memory."""

    step = "reading"

    victims: frozenset[str]

    def recall(self, key, case, convention):
        return None

    def make(self, key, case, convention, examination):
        if case.id in self.victims:
            os.kill(os.getpid(), signal.SIGKILL)
        return f"made of {case.id}"


@pytest.mark.integration
def test_a_case_that_ends_its_process_is_a_problem_of_that_case_alone(hospital):
    for name in "ABCD":
        hospital.brats(name)
    product = Greedy(frozenset("BD"))
    cohort = read_cohort(hospital.folder, case_format=CASES)
    made = process_cases(cohort, (product,), case_format=CASES, index=SourceIndex(), workers=2)
    assert made.of(product) == {"A": "made of A", "C": "made of C"}
    assert {one: problem.code.value for one, problem in made.problems.items()} == {
        "B": "out_of_resources",
        "D": "out_of_resources",
    }


@pytest.fixture
def pools(monkeypatch):
    """Let the workers of some pools, by their number, end before they do anything; counts the pools."""
    made, original = [], module.worker_pool

    def doomed(which):
        def worker_pool(workers):
            made.append(workers)
            return original(workers, os._exit, (1,)) if which(len(made)) else original(workers)

        monkeypatch.setattr(module, "worker_pool", worker_pool)
        return made

    return doomed


@pytest.fixture
def run(hospital):
    def run(*victims):
        for name in "ABC":
            hospital.brats(name)
        product = Greedy(frozenset(victims))
        cohort = read_cohort(hospital.folder, case_format=CASES)
        made = process_cases(cohort, (product,), case_format=CASES, index=SourceIndex(), workers=2)
        return sorted(made.of(product)), sorted(made.problems)

    return run


def test_processes_that_never_start_are_no_fault_of_the_cases(pools, run):
    made = pools(lambda number: True)
    with pytest.raises(WorkersError, match="__main__"):
        run()
    assert made == [2, 1, 1]


@pytest.mark.integration
@pytest.mark.parametrize("ended", [{1}, {1, 2}])
def test_a_process_that_ends_before_it_answers_costs_no_case(pools, run, ended):
    pools(lambda number: number in ended)
    assert run() == (["A", "B", "C"], [])


@pytest.mark.integration
def test_a_start_that_fails_between_two_cases_is_no_fault_of_the_next(pools, run):
    pools(lambda number: number == 3)
    assert run("A", "B") == (["C"], ["A", "B"])
