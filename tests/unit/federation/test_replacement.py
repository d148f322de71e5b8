import ast
import json
import subprocess
import sys
from collections import defaultdict
from types import ModuleType

import pytest
from sources import PACKAGE, modules, nodes

from consilium.errors import ConfigurationError
from consilium.federation.replacement import (
    SOURCES,
    digest,
    place_of,
    replace,
    require_known,
)


class Flares:
    """Stands for a class of FLARE's."""

    def work(self):
        return 1


class Ours(Flares):
    pass


@pytest.fixture
def module(monkeypatch):
    monkeypatch.setitem(SOURCES, place_of(Flares), digest(Flares))
    made = ModuleType("flare")
    made.Flares = Flares
    return made


DIGESTS = """
import json, pkgutil
from consilium.federation.replacement import SOURCES, digest
print(json.dumps({place: digest(pkgutil.resolve_name(place)) for place in SOURCES}))
"""


@pytest.fixture(scope="module")
def installed():
    """The sources of the installed FLARE, in a process in which nothing is replaced."""
    ended = subprocess.run([sys.executable, "-c", DIGESTS], capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


@pytest.mark.parametrize("place", sorted(SOURCES))
def test_flare_is_the_one_that_ours_was_written_against(installed, place):
    print(place, installed[place])  # noqa: T201 - the list, with `pytest -s`
    assert SOURCES[place] == installed[place]


def test_what_is_known_is_replaced_and_may_be_again(module):
    replace(module, "Flares", Ours)
    replace(module, "Flares", Ours)
    assert module.Flares is Ours


def test_another_source_is_rejected_by_its_name(module, monkeypatch):
    monkeypatch.setitem(SOURCES, place_of(Flares), "0" * 64)
    with pytest.raises(ConfigurationError, match=r"test_replacement\.Flares is not that of nvflare 2\.9\.0"):
        replace(module, "Flares", Ours)
    assert module.Flares is Flares


def test_what_is_not_listed_is_rejected(module):
    module.Flares = str
    with pytest.raises(ConfigurationError, match=r"builtins\.str"):
        replace(module, "Flares", Ours)
    with pytest.raises(ConfigurationError, match=r"has no flare\.Gone"):
        replace(module, "Gone", Ours)


def test_a_source_that_can_t_be_read_is_rejected(monkeypatch):
    made = {}
    exec("class Unreadable: pass", {"__name__": __name__}, made)
    monkeypatch.setitem(SOURCES, place_of(made["Unreadable"]), None)
    with pytest.raises(ConfigurationError):
        require_known(made["Unreadable"])


def test_all_that_differ_are_named(monkeypatch):
    monkeypatch.setitem(SOURCES, place_of(Flares), "0" * 64)
    with pytest.raises(ConfigurationError, match=r"Flares, builtins\.str"):
        require_known(Flares, str)


@pytest.mark.integration
@pytest.mark.parametrize("guard", ["site_guard.SiteGuard", "server_guard.ServerGuard"])
@pytest.mark.parametrize("place", ["nvflare.fuel.f3.cellnet.core_cell.CoreCell", "nvflare.no.such.Place"])
def test_no_process_is_guarded_that_has_another_flare(guard, place):
    """Both guards check all that is listed, before they replace anything."""
    changed = f"""
import pkgutil
from nvflare.fuel.f3.cellnet import cell
from consilium.federation.replacement import SOURCES
SOURCES[{place!r}] = "0" * 64
try:
    pkgutil.resolve_name("consilium.guard.{guard}")()
finally:
    assert cell.CoreCell.__module__.startswith("nvflare."), cell.CoreCell
"""
    ended = subprocess.run([sys.executable, "-c", changed], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"ConfigurationError: the source of {place} is not" in ended.stderr


@pytest.mark.integration
def test_what_is_replaced_already_was_checked():
    script = """
from consilium.federation.replacement import require_all_known
from consilium.guard.site_guard import SiteGuard
SiteGuard()
require_all_known.cache_clear()
SiteGuard()
"""
    subprocess.run([sys.executable, "-c", script], check=True)


ALLOWED = {
    "federation/transport/tuning.py": {
        "callback_thread_pool._max_workers",
        "file_downloader.DEFAULT_CHUNK_SIZE",
    },
}
"""Attributes of what FLARE defines that are set, each after its source was checked."""


def first_name(target: ast.expr) -> str:
    while isinstance(target, ast.Attribute):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


def test_nothing_of_flare_is_replaced_elsewhere():
    """Only `replace` puts ours in FLARE's place: no module sets an attribute of one of FLARE's."""
    setters, assigned = [], defaultdict(set)
    for path in modules():
        place = str(path.relative_to(PACKAGE))
        flares = {
            name.asname or name.name
            for node in nodes(path)
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nvflare")
            for name in node.names
        }
        for node in nodes(path):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
                setters.append(place)
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Attribute) and first_name(target) in flares:
                    assigned[place].add(ast.unparse(target))
    assert setters == ["federation/replacement.py"]
    assert assigned == ALLOWED
