import pytest
import torch
from data import hospital
from data.hospital import preprocess

from consilium.learning.estimate import GIB, disk_need, gpu_bytes, shared_memory_bytes
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

SMALL = BrainTumorSettings(patch_voxels=(16, 16, 16))


def test_gpu_memory_counts_more_than_what_a_step_keeps_and_nothing_twice():
    task = get_task("brain_tumor")
    network = task.method.build_network(SMALL)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda t: t):
        task.method.build_loss(SMALL)(network(torch.rand(1, 4, 16, 16, 16)), torch.zeros(1, 3, 16, 16, 16))
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in kept}
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert gpu_bytes(SMALL) == pytest.approx(GIB + 16 * parameters + 2 * sum(storages.values()), rel=0.001)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    "larger", [{"batch_size": 2}, {"patch_voxels": (32, 32, 32)}, {"network": "segresnet"}]
)
def test_more_work_needs_more_gpu_memory(larger):
    assert gpu_bytes(SMALL.model_copy(update=larger)) > gpu_bytes(SMALL)


def test_the_gpu_job_fits_a_gpu_of_sixteen_gib():
    large = BrainTumorSettings(network="segresnet", patch_voxels=(128, 128, 128), batch_size=2)
    assert 4 * GIB < gpu_bytes(large) < 16 * GIB


def test_shared_memory_is_for_loader_workers():
    assert shared_memory_bytes(SMALL, 0) == 0
    assert shared_memory_bytes(SMALL, 2) == 2 * 2 * 16**3 * 9


@pytest.mark.parametrize("labeled", [True, False])
def test_the_cache_is_never_larger_than_its_estimate(tmp_path, labeled):
    images = {
        name: hospital.head(seed=index + 1) for index, name in enumerate(get_task("brain_tumor").inputs)
    }
    drawn = (hospital.head(seed=9) > 500).astype("uint8") if labeled else None
    case = hospital.one_case(tmp_path, images, drawn)
    learning = BrainTumorSettings(spacing_mm=1.0)
    settings = CASES.preprocessing(1.0)
    prepared = preprocess(case, LabelConvention.BRATS_2018 if labeled else None, settings)
    arrays = [array for array in (prepared.image, prepared.label, prepared.reference) if array is not None]
    estimate = disk_need([case], learning).cache
    assert sum(array.nbytes for array in arrays) <= estimate <= 3 * sum(array.nbytes for array in arrays)


def test_finer_voxels_need_more_disk_and_unreadable_cases_none(tmp_path):
    case = hospital.one_case(tmp_path, {name: hospital.head() for name in get_task("brain_tumor").inputs})
    coarse, fine = (disk_need([case], BrainTumorSettings(spacing_mm=spacing)) for spacing in (2.0, 1.0))
    assert fine.cache == pytest.approx(8 * coarse.cache, rel=0.01)
    assert fine.workspace == coarse.workspace
    (tmp_path / "t1.nii.gz").write_bytes(b"no image")
    assert disk_need([case], BrainTumorSettings()).cache == 0
