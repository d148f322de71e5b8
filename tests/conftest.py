"""What holds for all tests."""

import gc
import inspect
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

SITE_FOLDERS = (Path("cache"), Path("site_state"), Path("arrivals"))
"""What a site makes in the folder that it runs in, where its settings name no other."""


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_checkout() -> Iterator[None]:
    """Fail the test that has a site work in the checkout: its memory of patients would be committed."""
    before = {folder for folder in SITE_FOLDERS if folder.exists()}
    yield
    left = [folder for folder in SITE_FOLDERS if folder.exists() and folder not in before]
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


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without two costs that grow with the number of modules in the process.

    The garbage collector would search all modules again and again, and they are never garbage: not here, and
    not while the tests run. FLARE's `get_module_logger` needs one frame of `inspect.stack()`, which looks up
    the source of every frame.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspect, "stack", _frames)
        gc.disable()
        try:
            return (yield)
        finally:
            gc.freeze()
            gc.enable()


def _frames(context: int = 1) -> list[inspect.FrameInfo]:
    found, frame = [], sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        found.append(inspect.FrameInfo(frame, code.co_filename, frame.f_lineno, code.co_name, None, None))
        frame = frame.f_back
    return found


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
