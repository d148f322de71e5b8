"""The site's own model, which an evaluation job may have it evaluate; the model and its place stay here."""

from __future__ import annotations

from consilium.errors import ConfigurationError, DataError, RefusalCode, SiteRefusal
from consilium.learning.weights import Weights
from consilium.participant.site_settings import SiteSettings
from consilium.prediction.evaluated_models import require_alike
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks import LearningSettings, get_task


def open_local_only_model(site: SiteSettings, learning: LearningSettings, split: str) -> Weights:
    """Read the model that the hospital's settings name; a job has no say in which.

    It has to be of the job's network, and trained on this site's own training patients, from drawn or from
    published weights: a model that has seen the test patients would look better than it is.

    Args:
        site: What the hospital decides.
        learning: The job's.
        split: Fingerprint of the register that divided the patients.

    Raises:
        SiteRefusal: There is none, or it can't be used. The public reason names no path.
    """
    if site.local_only_model is None:
        raise SiteRefusal("its settings name no model of its own", code=RefusalCode.LOCAL_MODEL)
    try:
        model = TrainedModel.load(site.local_only_model)
        require_alike(model, learning)
    except (ConfigurationError, DataError) as error:
        raise SiteRefusal(
            "its own model can't be used in this job; the site's log says why",
            code=RefusalCode.LOCAL_MODEL,
            details=[str(error)],
        ) from None
    trained = model.standalone
    if trained is None or trained.split != split:
        raise SiteRefusal(
            "its own model was not trained on the training patients of this site alone, so its test patients "
            "may be among those that the model has seen",
            code=RefusalCode.LOCAL_MODEL,
            details=[f"{model.path}: train one with `consilium train JOB --kit KIT`"],
        )
    published = {one.name for one in get_task(learning.task).pretrained}
    if others := [one.name for one in model.origin if one.round is not None or one.name not in published]:
        raise SiteRefusal(
            "its own model was trained from another model, so its test patients may be among those that the "
            "other has seen",
            code=RefusalCode.LOCAL_MODEL,
            details=[f"{model.path} starts from {others[0]}: train one without --from"],
        )
    return model.weights
