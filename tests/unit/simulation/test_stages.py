import pytest

from consilium.errors import ConfigurationError
from consilium.simulation.stages import Stages


def test_an_interrupted_study_knows_what_is_done(tmp_path):
    path = tmp_path / "stages.json"
    stages = Stages.open(path, key="a")
    assert not stages.is_done("federated")
    stages.finish("federated", 12.5)
    again = Stages.open(path, key="a")
    assert again.is_done("federated")
    assert not again.is_done("baselines")
    assert again.seconds == {"federated": 12.5}


def test_another_study_in_the_same_folder_starts_over(tmp_path):
    path = tmp_path / "stages.json"
    Stages.open(path, key="a").finish("federated", 1)
    other = Stages.open(path, key="b")
    assert not other.is_done("federated")
    other.finish("baselines", 2)
    assert not Stages.open(path, key="a").is_done("federated")  # its results were overwritten


def test_a_complete_study_is_not_done_when_it_is_repeated(tmp_path):
    path = tmp_path / "stages.json"
    stages = Stages.open(path, key="a")
    stages.finish("federated", 1)
    stages.forget()
    stages.forget()
    assert not path.exists()
    assert not Stages.open(path, key="a").is_done("federated")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"key": "a"}', '{"key": "a", "seconds": {"federated": "long"}}']
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "stages.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"stages\.json.*\n(.*\n)*.*delete it"):
        Stages.open(path, key="a")
