import pytest

from consilium.errors import ConfigurationError
from consilium.tasks import parse_learning
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings


def refusal(**values):
    with pytest.raises(ConfigurationError) as caught:
        parse_learning({"task": "brain_tumor"} | values, source="job")
    return str(caught.value)


def test_an_unknown_key_names_the_nearest():
    assert "did you mean 'learning_rate'?" in refusal(learningrate=0.1)


@pytest.mark.parametrize("both", [{"local_steps": 5, "local_epochs": 1}, {"local_steps": None}])
def test_steps_and_epochs_exclude_each_other_and_one_is_needed(both):
    assert "exactly one of local_steps and local_epochs" in refusal(**both)


def test_unknown_tasks_and_networks_name_the_known_ones():
    assert "known: brain_tumor" in refusal(task="chest_ct")
    for network in ("resnet50", "{$HOME}", " /etc/passwd", ".", "models/../x", ""):
        assert "allowed: 'unet_small' or 'segresnet'" in refusal(network=network)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patch_voxels", (48, 50, 48)),
        ("patch_voxels", (8, 48, 48)),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", 1e-300),  # a model that stands still
        ("foreground_share", 1.5),
        ("window_overlap", 1),
        ("spacing_mm", 0),
        ("local_steps", 0),
    ],
)
def test_values_that_could_only_fail_later_are_rejected_at_once(name, value):
    message = refusal(**{name: value})
    assert name in message
    assert "seen:" in message


@pytest.mark.parametrize(("batch", "edge", "fitting"), [(64, 512, 1), (64, 136, 53), (2, 512, 1)])
def test_a_batch_that_no_machine_holds_is_rejected(batch, edge, fitting):
    message = refusal(batch_size=batch, patch_voxels=(edge, edge, edge))
    assert (
        f"batch_size {batch} of patch_voxels [{edge}, {edge}, {edge}] are {batch * edge**3} voxels" in message
    )
    assert f"at most {2**27} are allowed: set batch_size to {fitting} or less" in message


def test_the_largest_batch_of_usual_patches_is_allowed():
    BrainTumorSettings(batch_size=64, patch_voxels=(128, 128, 128))


@pytest.mark.parametrize(
    ("epochs", "cases", "batch", "steps"), [(2, 10, 1, 20), (1, 5, 2, 2), (0.1, 3, 4, 1), (3, 7, 2, 10)]
)
def test_epochs_become_steps_by_the_number_of_cases(epochs, cases, batch, steps):
    settings = BrainTumorSettings(local_steps=None, local_epochs=epochs, batch_size=batch)
    assert settings.steps_per_round(cases) == steps


def test_steps_do_not_depend_on_the_number_of_cases():
    assert BrainTumorSettings(local_steps=13).steps_per_round(1) == 13
    assert BrainTumorSettings(local_steps=13).steps_per_round(1000) == 13
