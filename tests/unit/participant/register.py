"""Visits of patients, and what a site's register decides about them."""

from dataclasses import dataclass

from consilium.data.split import SetShares
from consilium.participant.register_files import open_register


@dataclass(frozen=True)
class Visit:
    id: str
    patient: str


def visits(patients):
    return [Visit(f"{patient}-1", patient) for patient in patients]


def split(site, patients):
    with open_register(site) as register:
        return register.split(visits(patients), SetShares(0.5, 0)).validation


def answered(site, patients, question="scores", **options):
    with open_register(site) as register:
        return register.answerable(question, visits(patients), **{"minimum": 3, **options})
