"""A process that the system ends while it reads a case costs that case, and no other."""

import os
import signal
from dataclasses import dataclass

from consilium.data.case_products import CaseProduct
from consilium.data.cohort import read_cohort
from consilium.data.cohort_pass import pass_over
from consilium.data.sources import SourceIndex

from .hospital import MODALITIES


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


def test_a_case_that_ends_its_process_is_a_problem_of_that_case_alone(hospital):
    for name in "ABCD":
        hospital.brats(name)
    product = Greedy(frozenset("BD"))
    cohort = read_cohort(hospital.folder, modalities=MODALITIES)
    made = pass_over(cohort, (product,), modalities=MODALITIES, index=SourceIndex(), workers=2)
    assert made.of(product) == {"A": "made of A", "C": "made of C"}
    assert {one: problem.code.value for one, problem in made.problems.items()} == {
        "B": "out_of_resources",
        "D": "out_of_resources",
    }
