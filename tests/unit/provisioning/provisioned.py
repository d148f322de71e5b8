"""A workspace that the shipped project file provisions, and helpers to look into its kits."""

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path

import yaml
from nvflare.lighter.prov_utils import prepare_builders
from nvflare.lighter.provision import prepare_project
from nvflare.lighter.provisioner import Provisioner
from site_check.federation import umask

from consilium.data.files import OTHERS
from consilium.errors import ConfigurationError

PROJECT = Path(__file__).parents[3] / "provision" / "project.yml"
SERVER = "flare.consortium.example"


def provision(folder: Path, project: dict) -> Path:
    project = copy.deepcopy(project)
    with umask(0):
        context = Provisioner(str(folder), prepare_builders(project)).provision(prepare_project(project))
    errors = context.get_errors()
    if errors:
        raise ConfigurationError(errors[0])
    return Path(context.get_result_location())


def shipped_project() -> dict:
    project: dict = yaml.safe_load(PROJECT.read_text())
    return project


def read(path: Path) -> dict:
    content: dict = json.loads(path.read_text())
    return content


def resource_manager(kit: Path) -> dict:
    components = read(kit / "local" / "resources.json.default")["components"]
    return next(entry["args"] for entry in components if entry["id"] == "resource_manager")


def content_of(kit: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(kit)): path.read_bytes()
        for path in sorted(kit.rglob("*"))
        # RSA-PSS salts a signature: the same content gets another one each time.
        if path.is_file() and path.name != "signature.json"
    }


@contextlib.contextmanager
def changed(path: Path, change: Callable[[str], str]):
    original = path.read_text()
    path.write_text(change(original))
    try:
        assert path.read_text() != original
        yield
    finally:
        path.write_text(original)


def open_to_others(folder: Path) -> dict[str, str]:
    """What other accounts have a right to, with its mode."""
    modes = {str(path.relative_to(folder)): path.lstat().st_mode for path in (folder, *folder.rglob("*"))}
    return {name: oct(mode) for name, mode in modes.items() if mode & OTHERS}
