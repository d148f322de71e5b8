import pytest
from report.statistics.records import record

from consilium.errors import ConfigurationError
from consilium.recipes.proposal import read_fingerprint
from consilium.records.readiness import Grid, Hardware, ReadinessRecord, SiteReadiness


def readiness(gpus, can="train", patients=40, grid=((240, 240, 155), (1.0, 1.0, 1.0))):
    """A record of sites whose GPUs have so many GiB."""
    sites = {
        name: SiteReadiness(
            can=can,
            usable_cases=80,
            usable_patients=patients,
            grid=grid and Grid(shape=grid[0], spacing_mm=grid[1]),
            hardware=Hardware(cores=8, memory_gib=64, gpus_gib=memory, free_disk_gib=100),
        )
        for name, memory in gpus.items()
    }
    return ReadinessRecord(
        job="brain_tumor_check", task="brain_tumor", title="Brain tumor segmentation", sites=sites
    )


@pytest.fixture
def statistics(tmp_path):
    """Two hospitals: 12 patients at 1 x 1 x 1 mm, 4 at 1 x 1 x 5 mm, ten times as bright."""
    sites = {"north": 12, "south": 4}
    values = {
        f"spacing_{axis}": {"north": [1.0] * 12, "south": [size] * 4}
        for axis, size in zip("xyz", (1.0, 1.0, 5.0), strict=True)
    }
    values |= {"extent_x": {"north": [140.0] * 12, "south": [150.0] * 4}}
    values |= {"scale_t2": {"north": [2.05] * 12, "south": [3.05] * 4}}
    record(sites, values).save(tmp_path)
    return tmp_path / "statistics.json"


def test_statistics_tell_medians_over_all_patients(statistics):
    found = read_fingerprint([statistics])
    assert found.data.spacing_mm == pytest.approx((1, 1, 1))
    assert found.data.extent_mm[0] == pytest.approx(140)
    assert found.data.fewest_patients == 4
    assert found.data.scales == pytest.approx(10)
    assert found.gpu_gib is None
    assert "no readiness.json was given" in found.machines


def test_readiness_adds_the_smallest_gpu(statistics, tmp_path):
    readiness({"north": [80.0, 80.0], "south": [24.0, 48.0]}).save(tmp_path / "readiness.json")
    for files in ([statistics, tmp_path / "readiness.json"], [tmp_path / "readiness.json", statistics]):
        found = read_fingerprint(files)
        assert (found.gpu_gib, found.machines) == (24, "the smallest GPU is at south")
        assert found.data.fewest_patients == 4


def test_one_hospital_without_a_gpu_decides(tmp_path):
    readiness({"north": [80.0], "south": []}).save(tmp_path / "readiness.json")
    found = read_fingerprint([tmp_path])
    assert (found.gpu_gib, found.machines) == (None, "no GPU at south")
    assert found.data.extent_mm == (240, 240, 155)


def test_hospitals_whose_images_have_no_voxel_size_are_known_by_their_patients(tmp_path):
    readiness({"north": [24.0]}, grid=None).save(tmp_path / "readiness.json")
    found = read_fingerprint([tmp_path]).data
    assert (found.spacing_mm, found.extent_mm, found.fewest_patients) == (None, None, 40)


@pytest.mark.parametrize(
    "sites", [readiness({"north": [24.0]}, patients=None), readiness({}), record({"north": 0})]
)
def test_without_anything_about_data_nothing_is_proposed(tmp_path, sites):
    path = tmp_path / "readiness.json"
    path.write_text(sites.model_dump_json())
    with pytest.raises(ConfigurationError, match="the job brain_tumor_stats"):
        read_fingerprint([path])


def test_a_file_that_is_neither_is_rejected(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_fingerprint([tmp_path / "statistics.json"])
    (tmp_path / "statistics.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"is not a record that.*\n  job: it is missing"):
        read_fingerprint([tmp_path / "statistics.json"])


def test_a_folder_with_both_asks_which(statistics, tmp_path):
    readiness({"north": [24.0]}).save(tmp_path / "readiness.json")
    with pytest.raises(ConfigurationError, match="holds 2 files"):
        read_fingerprint([tmp_path])
