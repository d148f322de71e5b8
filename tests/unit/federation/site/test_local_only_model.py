import pytest

from consilium.errors import RefusalCode, SiteRefusal
from consilium.federation.site.local_only_model import open_local_only_model
from consilium.learning.initial_model import Origin
from consilium.learning.standalone import Standalone, save_standalone
from consilium.participant.site_settings import SiteSettings
from consilium.prediction.trained_model import network_weights
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

LEARNING = BrainTumorSettings(spacing_mm=4.0, patch_voxels=(16, 16, 16))
SPLIT, OTHER = "0" * 32, "1" * 32
OWN = Standalone(kind="local-only", sites=("north",), split=SPLIT)
PUBLISHED = Origin(name=get_task("brain_tumor").pretrained[0].name, digest=f"sha256:{'0' * 64}")


@pytest.fixture
def opened(tmp_path):
    weights = network_weights(LEARNING)

    def opened(trained=OWN, origin=()):
        path = tmp_path / "model.safetensors"
        save_standalone(path, weights, LEARNING, trained, rounds=1, job="alone", origin=origin)
        site = SiteSettings(dataset=tmp_path, local_only_model=path)
        return open_local_only_model(site, LEARNING, SPLIT)

    opened.weights = weights
    return opened


@pytest.mark.parametrize("origin", [(), (PUBLISHED,)])
def test_a_model_of_the_site_s_training_patients_is_its_own(opened, origin):
    assert opened(origin=origin).keys() == opened.weights.keys()


@pytest.mark.parametrize(
    "trained", [OWN.model_copy(update={"split": OTHER}), Standalone(kind="pooled", sites=("north", "south"))]
)
def test_a_model_of_other_patients_is_declined(opened, trained):
    with pytest.raises(SiteRefusal, match="not trained on the training patients of this site alone"):
        opened(trained)


@pytest.mark.parametrize(
    "origin",
    [
        (Origin(name="pooled", digest=PUBLISHED.digest, round=3),),
        (Origin(name="unknown job", digest=PUBLISHED.digest),),
        (PUBLISHED, Origin(name=PUBLISHED.name, digest=PUBLISHED.digest, round=0)),
    ],
)
def test_a_model_that_starts_from_one_that_may_know_the_test_patients_is_declined(opened, origin):
    with pytest.raises(SiteRefusal, match="the other has seen") as caught:
        opened(origin=origin)
    assert caught.value.code is RefusalCode.LOCAL_MODEL
    assert "/" not in str(caught.value).split("\n")[0]  # no path leaves
