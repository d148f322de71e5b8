import numpy as np
import pytest
import torch
from monai.transforms import ConvertToMultiChannelBasedOnBratsClassesd

from consilium.errors import ConfigurationError
from consilium.tasks import TASKS, get_task
from consilium.tasks.brain_tumor.label_conventions import Tissue
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from consilium.tasks.segmentation.regions import join_regions, to_regions

TASK = get_task("brain_tumor")
GLIOMA = (Tissue.BACKGROUND, Tissue.NECROTIC_CORE, Tissue.EDEMA, Tissue.ENHANCING)


def random_tissues(seed=0, shape=(6, 7, 5)):
    return torch.from_numpy(np.random.default_rng(seed).choice(GLIOMA, shape).astype(np.uint8))


def test_regions_are_those_of_monai_in_its_order():
    label = random_tissues()
    # BraTS 2023 and later number the tissues as the canonical label does: ET is 3.
    monai = ConvertToMultiChannelBasedOnBratsClassesd(keys="label", et_label=3)({"label": label[None]})
    assert [region.name for region in TASK.targets] == ["tc", "wt", "et"]
    assert torch.equal(to_regions(label, TASK.targets), monai["label"].bool())


def test_batches_of_labels_get_their_regions_behind_the_batch():
    batch = torch.stack([random_tissues(1), random_tissues(2)])
    regions = to_regions(batch, TASK.targets)
    assert regions.shape == (2, 3, 6, 7, 5)
    assert torch.equal(regions[1], to_regions(batch[1], TASK.targets))


def test_a_resection_cavity_belongs_to_no_region():
    assert not to_regions(
        torch.full((2, 2, 2), Tissue.RESECTION_CAVITY, dtype=torch.uint8), TASK.targets
    ).any()


def test_regions_and_tissues_are_two_ways_to_say_the_same():
    label = random_tissues(3)
    tissues = join_regions(to_regions(label, TASK.targets), TASK.targets)
    assert tissues.dtype == torch.uint8
    assert torch.equal(tissues, label)


def test_where_regions_disagree_the_inner_one_wins():
    core, whole, enhancing = torch.tensor([[True, False], [False, False], [False, True]])
    tissues = join_regions(torch.stack([core, whole, enhancing])[:, None, None], TASK.targets)
    assert tissues.flatten().tolist() == [Tissue.NECROTIC_CORE, Tissue.ENHANCING]


@pytest.mark.parametrize("name", TASK.settings_type.networks())
def test_a_network_answers_one_channel_a_region_at_full_resolution(name):
    network = TASK.method.build_network(BrainTumorSettings(network=name)).eval()
    with torch.inference_mode():
        logits = network(torch.randn(2, len(TASK.inputs), 24, 16, 32))
    assert logits.shape == (2, len(TASK.targets), 24, 16, 32)


def test_an_unknown_task_names_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"'chest_ct'.*brain_tumor"):
        get_task("chest_ct")
    assert TASKS["brain_tumor"] is TASK


def test_the_loss_is_small_for_the_truth_and_large_for_its_contrary():
    target = to_regions(random_tissues(4, (8, 8, 8)), TASK.targets)[None].float()
    loss = TASK.method.build_loss(BrainTumorSettings())
    right, wrong = (float(loss(sign * 20 * (2 * target - 1), target)) for sign in (1, -1))
    assert right < 0.01
    assert wrong > 1
