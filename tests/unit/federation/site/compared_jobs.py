"""Two jobs at one hospital, and what may change between them."""

import shutil

from data.hospital import NAMES_2023, Hospital
from learning.tiny import LEARNING, site

from consilium.data.checks import CheckedCohort
from consilium.federation.site.assessment import assess
from consilium.participant.site_cases import examine_cases
from consilium.participant.site_data import prepare_site
from consilium.participant.statistics import gather_statistics
from consilium.tasks import get_task

MINIMUM = 3


TASK = get_task("brain_tumor")
PATIENTS = [f"BraTS-GLI-{number:05}" for number in range(12)]


def twelve_patients(folder):
    """Settings of a hospital with twelve patients; half of them to validate on."""
    settings = site(
        folder,
        [],
        min_training_patients=MINIMUM,
        min_count=MINIMUM,
        validation_fraction=0.5,
        label_convention="brats-2018",
        max_left_out=1.0,
    )
    for patient in PATIENTS:
        write(settings, f"{patient}-100")
    return settings


def write(settings, case, **options):
    return Hospital(settings.dataset).brats(case, names=NAMES_2023, **options)


def prepared(settings, **job):
    return prepare_site(settings, LEARNING.model_copy(update={"local_steps": 6, **job}))


def evaluated(settings, **job):
    """The cases that the scores of a job are means over, by patient."""
    return {case.id: case.patient for case in prepared(settings, **job).evaluated_cases}


def described(settings, min_count=1):
    """The statistics that a job with this minimum gets."""
    return gather_statistics(
        settings, TASK, min_count=min_count, progress=lambda *reported: None, cancelled=lambda: False
    )


def readiness(settings):
    checked: CheckedCohort = examine_cases(settings, TASK.cases)
    return assess(checked, settings, LEARNING, {})


def isolated(first, second):
    """How many patients are left when two answers are subtracted, each way."""
    return {
        len({one[case] for case in one.keys() - other.keys()})
        for one, other in ((first, second), (second, first))
    }


def patient_on(settings, side):
    return getattr(prepared(settings), side)[0].patient


def add(settings):
    write(settings, "BraTS-GLI-99999-100")


def add_two(settings):
    add(settings)
    write(settings, "BraTS-GLI-88888-100")


def remove_validated(settings):
    shutil.rmtree(settings.dataset / f"{patient_on(settings, 'validation')}-100")


def remove_trained(settings):
    shutil.rmtree(settings.dataset / f"{patient_on(settings, 'train')}-100")


def damage_validated(settings):
    path = settings.dataset / f"{patient_on(settings, 'validation')}-100"
    (image,) = path.glob("*-t2f.nii.gz")
    image.write_bytes(image.read_bytes()[:60])


def remove_label_of_validated(settings):
    (label,) = (settings.dataset / f"{patient_on(settings, 'validation')}-100").glob("*-seg.nii.gz")
    label.unlink()


def examine_validated_again(settings):
    write(settings, f"{patient_on(settings, 'validation')}-101")


def rename_validated(settings):
    remove_validated(settings)
    add(settings)


def clear_the_cache(settings):
    shutil.rmtree(settings.cache_dir)


CHANGES = [
    add,
    add_two,
    remove_validated,
    remove_trained,
    damage_validated,
    remove_label_of_validated,
    examine_validated_again,
    rename_validated,
    clear_the_cache,
]
