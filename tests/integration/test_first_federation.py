"""The notebook in `examples/` runs from its first cell to its last, in a kernel of Jupyter."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = [pytest.mark.integration, pytest.mark.long]

NOTEBOOK = Path(__file__).parents[2] / "examples/first_federation.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Run the notebook; returns all that it put out."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, timeout=420, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_it_trains_and_shows_every_site_s_scores(outputs):
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "finished" in printed
    scores = dict(re.findall(r"^(\w+) +Dice of the whole tumor (\d\.\d\d)", printed, re.MULTILINE))
    assert scores.keys() == {"north", "south", "clinic"}
    assert min(map(float, scores.values())) > 0.3, "so little is learned by chance"


def test_it_ends_with_a_picture(outputs):
    assert "image/png" in outputs[-1].data
