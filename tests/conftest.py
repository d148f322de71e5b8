"""What holds for all tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SITE_FOLDERS = ("cache", "site_state", "arrivals")
"""What a site makes in the folder that it runs in, where its settings name no other."""


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_checkout() -> Iterator[None]:
    """Fail the test that has a site work in the checkout: its memory of patients would be committed."""
    before = {name for name in SITE_FOLDERS if Path(name).exists()}
    yield
    left = [name for name in SITE_FOLDERS if Path(name).exists() and name not in before]
    assert left == [], "give the site of this test folders of its own"


SECURITY = "tests/integration/security/test_"
TOGETHER = {
    "tests/integration/test_policy.py": "tests/integration/test_healthy_run.py",
    "tests/integration/test_model_evaluation.py": "tests/integration/test_chest_ct.py",
    "tests/integration/test_warm_start.py": "tests/integration/test_chest_ct.py",
    "tests/integration/test_poc_budget.py": "tests/integration/test_poc.py",
    "tests/integration/test_poc_interrupt.py": "tests/integration/test_poc.py",
    **{
        f"{SECURITY}{name}.py": f"{SECURITY}hostile_jobs.py"
        for name in ("hospital_alone", "local_accounts", "messages", "nothing_leaves", "transport")
    },
    **{
        f"tests/unit/{folder}/checks": "tests/unit/tasks/brain_tumor/checks"
        for folder in ("data", "tasks/segmentation")
    },
}
"""Modules that share a federation or want the same ports as another: one process runs both.

Unit tests of one folder share what its `conftest.py` makes, and so do the folders that are named here.
"""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep what belongs together in one process, under `--dist loadscope`."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = super()._split_scope(nodeid)
            if module.startswith("tests/unit/"):
                module = module.rpartition("/")[0]
            return TOGETHER.get(module, module)

    return Together(config, log)
