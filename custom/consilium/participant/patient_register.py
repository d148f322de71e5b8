"""Persistent register of a site's patients: their set of the split, and their groups for answers.

Keyed hashes stand in the place of ids; `register_files` keeps it in the site's `state_dir`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from consilium.counts import Count
from consilium.data.split import CaseT, SetShares, Sides, Split
from consilium.errors import DataError
from consilium.participant.answer_audit import discloses, extend_basis
from consilium.participant.answer_groups import complete_groups, regroup
from consilium.participant.pseudonyms import Pseudonyms
from consilium.participant.register_content import KEY_FILE, RegisterContent, restore_remedy
from consilium.privacy.ledger_entry import case_link


@dataclass(frozen=True)
class Answerable(Generic[CaseT]):
    """Cases that a site may include in an answer.

    Attributes:
        cases: In the order in which they were given.
        groups: Ids of cases that are answered about together or not at all.
        held_back: How many more cases are there, which nothing is answered about.
    """

    cases: tuple[CaseT, ...]
    groups: tuple[frozenset[str], ...]
    held_back: int

    @property
    def count(self) -> Count:
        """How many cases they are; None where there are cases, and none of them may be answered about."""
        return None if self.held_back and not self.cases else len(self.cases)


class PatientRegister:
    """Persistent decisions about a site's patients: sets and groups.

    Args:
        key: The site's secret.
        content: What was decided in earlier jobs.
        source: Where that comes from, for messages.
        examinations: Case id to patient of all cases that the site knows of, those that are left out or were
            only declared among them; see `Patients.examinations`.
        repeats: Whether a patient's set follows from the patient alone, for a site whose key is known: a
            simulation remembers nothing from run to run.

    Attributes:
        models: Models that were evaluated on its patients; see `EvaluationLog`.

    Raises:
        DataError: If it was decided with another key, is damaged, or of a later version.
    """

    def __init__(
        self,
        key: bytes,
        content: str | bytes | None = None,
        *,
        source: object = "",
        examinations: Mapping[str, str] | None = None,
        repeats: bool = False,
    ) -> None:
        self._key = key
        self._names = Pseudonyms(key)
        self._examinations = dict(examinations or {})
        self._repeats = repeats
        fingerprint = self._names.fingerprint
        known = (
            RegisterContent(key=fingerprint) if content is None else RegisterContent.parse(content, source)
        )
        if known.key != fingerprint:
            raise DataError(
                f"{source} was written with another key than the {KEY_FILE}, or split_salt, of now. "
                f"{restore_remedy(KEY_FILE)}"
            )
        self._sides = Sides(frozenset(known.training), frozenset(known.validation), frozenset(known.test))
        self.models = list(known.models)
        self._groups = dict(known.groups)
        self._answers = dict(known.answers)
        self._patients = {
            self._names.case(case): self.pseudonym(patient) for case, patient in self._examinations.items()
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the site's secret, by which a model states whose sets of patients it was trained with."""
        return self._names.fingerprint

    @property
    def ledger_key(self) -> bytes:
        """Key of the site's privacy ledger, which follows from the site's secret."""
        return self._names.key_for("ledger")

    def split(self, cases: Sequence[CaseT], shares: SetShares) -> Split[CaseT]:
        """Divide cases into those to train, to validate and to test on; see `Sides`.

        Args:
            cases: Cases with an `id` and a `patient`.
            shares: See `Sides.settle`.
        """
        present: dict[str, set[str]] = {}
        draws: dict[str, float] = {}
        for case in cases:
            patient = self.pseudonym(case.patient)
            present.setdefault(patient, set()).add(self._names.case(case.id))
            draws[patient] = self._names.draw(case.patient)
        self._sides = self._sides.settle(
            present, shares, known=self._known_cases(), draws=draws if self._repeats else None
        )
        return self._sides.divide(cases, self.pseudonym)

    def untouched(self, cases: Sequence[CaseT]) -> tuple[CaseT, ...]:
        """Return the cases of patients that no job trained on or chose a model by; nothing is decided.

        Args:
            cases: Cases with an `id` and a `patient`.
        """
        touched, known = self._sides.training | self._sides.validation, self._known_cases()
        names: dict[str, set[str]] = {}
        for case in cases:
            patient = self.pseudonym(case.patient)
            own = names.setdefault(case.patient, {patient, *known.get(patient, ())})
            own.add(self._names.case(case.id))
        return tuple(case for case in cases if touched.isdisjoint(names[case.patient]))

    def _known_cases(self) -> dict[str, set[str]]:
        """The cases of each patient that the site knows of, by pseudonym."""
        known: dict[str, set[str]] = {}
        for name, patient in self._patients.items():
            known.setdefault(patient, set()).add(name)
        return known

    def answerable(
        self,
        question: str,
        cases: Sequence[CaseT],
        *,
        minimum: int,
        job_minimum: int = 1,
        compared: Mapping[str, int] | None = None,
        apart: Sequence[CaseT] = (),
    ) -> Answerable[CaseT]:
        """Return the cases that may be answered about; see `answer_groups` and `answer_audit`.

        Args:
            question: What is asked: answers to one question are compared with each other. A job must not be
                able to choose it.
            cases: All cases that the question is about.
            minimum: Fewest patients of a group: the site's, so that no job makes groups large or small.
            job_minimum: Fewest patients of the whole answer, where the job wants more.
            compared: Other questions whose answers can be subtracted from these, each with the fewest
                patients that a difference may be about.
            apart: Cases of another set of patients, which this question is asked about by themselves: no
                group of theirs is joined with one of these.
        """
        names = {case.id: self._names.case(case.id) for case in cases}
        present = {names[case.id]: self.pseudonym(case.patient) for case in cases}
        answers = self._answers.get(question, [])
        elsewhere = {self._names.case(case.id) for case in apart}
        known = self._groups.get(question, [])
        others = [group for group in known if not elsewhere.isdisjoint(group)]
        grouped = {name for group in others for name in group}
        present = {name: patient for name, patient in present.items() if name not in grouped}
        groups = regroup(
            [group for group in known if group not in others],
            present,
            minimum,
            answers=answers,
            declared=self._patients,
        )
        self._groups[question] = [*groups, *others]
        whole = complete_groups(groups, present, minimum, job_minimum)
        answered = {name for group in whole for name in group}
        patients = {name: patient for group in groups for name, patient in group.items()} | {
            name: self._patients.get(name, patient) for group in others for name, patient in group.items()
        }
        if discloses(answers, answered, patients, minimum) or any(
            self._discloses_beside(other, answers, answered, patients, fewest)
            for other, fewest in (compared or {}).items()
        ):
            whole, answered = [], set()
        self._answers[question] = extend_basis(answers, answered)
        chosen = tuple(case for case in cases if names[case.id] in answered)
        return Answerable(
            chosen,
            tuple(frozenset(case.id for case in chosen if names[case.id] in group) for group in whole),
            len(cases) - len(chosen),
        )

    def _discloses_beside(
        self,
        other: str,
        answers: Sequence[Collection[str]],
        new: Collection[str],
        patients: Mapping[str, str],
        minimum: int,
    ) -> bool:
        """Whether a new answer would reveal too few patients together with those to another question."""
        known = {name: patient for group in self._groups.get(other, []) for name, patient in group.items()}
        return discloses([*answers, *self._answers.get(other, [])], new, {**known, **patients}, minimum)

    def answers_part(
        self, question: str, part: Sequence[CaseT], *, minimum: int, beside: Collection[str]
    ) -> bool:
        """Return whether a part of cases that are answered about may be answered about on its own.

        Args:
            question: What is asked about parts: all of them are compared with each other.
            part: Its cases; all of them are in an answer to one of the questions in `beside`.
            minimum: Fewest patients of the part, and of whatever follows from it and other answers.
            beside: Other questions; all their answers together are compared with the part.
        """
        names = [self._names.case(case.id) for case in part]
        own = self._answers.get(question, [])
        known = [*own, *(answer for other in beside for answer in self._answers.get(other, []))]
        groups = [group for groups in self._groups.values() for group in groups]
        patients = {
            name: self._patients.get(name, patient) for group in groups for name, patient in group.items()
        }
        if len({patients[name] for name in names}) < minimum or discloses(known, names, patients, minimum):
            return False
        self._answers[question] = extend_basis(own, names)
        return True

    def count(self, question: str, cases: Sequence[CaseT], *, minimum: int, job_minimum: int = 1) -> Count:
        """Return how many cases may be answered about; None where there are cases and none of them may.

        Args:
            question: See `answerable`.
            cases: See `answerable`.
            minimum: See `answerable`.
            job_minimum: See `answerable`.
        """
        return self.answerable(question, cases, minimum=minimum, job_minimum=job_minimum).count

    def count_by_code(
        self, question: str, coded: Iterable[tuple[str, CaseT]], *, minimum: int, job_minimum: int = 1
    ) -> dict[str, Count]:
        """Return `count` for each code, in the order of the codes.

        Args:
            question: What is asked, without the code.
            coded: Codes and the cases that they were found in.
            minimum: See `answerable`.
            job_minimum: See `answerable`.
        """
        cases: dict[str, list[CaseT]] = {}
        for code, case in coded:
            cases.setdefault(code, []).append(case)
        return {
            code: self.count(f"{question}/{code}", found, minimum=minimum, job_minimum=job_minimum)
            for code, found in sorted(cases.items())
        }

    def draw_seed(self, *parts: str) -> int:
        """Return a seed of 128 bits that follows from parts and the site's secret."""
        return self._names.seed(*parts)

    def pseudonym(self, patient: str) -> str:
        """Return a patient's pseudonym in the register."""
        return self._names.patient(patient)

    def link(self, patient: str, case: str) -> str:
        """Return the link between a patient and a case, as the privacy ledger has it; see `case_link`."""
        return case_link(self.pseudonym(patient), self._names.case(case))

    def copy(self) -> PatientRegister:
        """Return a copy for trials, whose decisions are not stored."""
        return PatientRegister(
            self._key, self.to_json(), examinations=self._examinations, repeats=self._repeats
        )

    def to_json(self) -> str:
        """Return all that was decided."""
        return RegisterContent(
            key=self._names.fingerprint,
            training=sorted(self._sides.training),
            validation=sorted(self._sides.validation),
            test=sorted(self._sides.test),
            models=self.models,
            groups=self._groups,
            answers=self._answers,
        ).model_dump_json(indent=1)
