"""The site's hook: a link that leaves `docs/` leads to the repository, and a wrong one is reported."""

import importlib.util
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = {
    "config_file_path": str(ROOT / "mkdocs.yml"),
    "docs_dir": str(ROOT / "docs"),
    "extra": {"repository": "https://example.org/project"},
}


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("site_links", ROOT / "tools/site_links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rewritten(hook, markdown):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="jobs.md"))
    return hook.on_page_markdown(markdown, page=page, config=CONFIG, files=None)


@pytest.mark.parametrize(
    ("link", "on_the_site"),
    [
        ("../README.md", "https://example.org/project/blob/main/README.md"),
        ("../CHANGELOG.md#unreleased", "https://example.org/project/blob/main/CHANGELOG.md#unreleased"),
        ("../jobs", "https://example.org/project/tree/main/jobs"),
        ("site.md#several-gpus", "site.md#several-gpus"),
        ("#shape-one", "#shape-one"),
        ("https://monai.io", "https://monai.io"),
    ],
)
def test_links_that_leave_the_pages_lead_to_the_repository(hook, link, on_the_site):
    assert rewritten(hook, f"see [it]({link}).") == f"see [it]({on_the_site})."


@pytest.mark.parametrize("link", ["../no_such_file.md", "../../elsewhere"])
def test_a_link_to_nothing_is_reported(hook, link, caplog):
    """In strict mode a warning ends the build."""
    with caplog.at_level(logging.WARNING, logger="mkdocs"):
        rewritten(hook, f"[it]({link})")
    assert link in caplog.text
