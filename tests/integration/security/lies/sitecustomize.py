"""Python reads this at its start where it is on the path: a hospital whose every answer holds a lie.

Only with `CONSILIUM_LIES` in the environment, which names a file that says what kind of lies it sends, and
only in the process that runs a job.
"""

import importlib.abc
import os
import sys
from pathlib import Path
from typing import Any

ESCAPE = "\x1b[2J\n2026-01-01 00:00:00 - forged - INFO - all is well"


def _lie(model: Any) -> None:
    """Change what a training, an evaluation or a preparation says of itself."""
    if Path(os.environ["CONSILIUM_LIES"]).read_text() == "plausible":
        early = bool(model.params) and model.current_round <= 1
        model.metrics = {
            name: float(early) if name.startswith("dice") else score
            for name, score in (model.metrics or {}).items()
        }
        return
    report = model.meta.get("consilium.report") or {}
    if model.params and model.current_round == 0:
        report["train_cases"] = 10**15
    elif model.params:
        model.metrics["dice_wt"] = 100.0
    elif any(name.startswith("dice") for name in model.metrics or {}):
        report["versions"] = {"torch": ESCAPE}
    else:
        report["left_out"] = {ESCAPE: 2}


def _lie_from_now_on() -> None:
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils

    honest = FLModelUtils.to_shareable

    def to_shareable(model: Any, *args: Any, **options: Any) -> Any:
        _lie(model)
        return honest(model, *args, **options)

    FLModelUtils.to_shareable = staticmethod(to_shareable)


class _Finder(importlib.abc.MetaPathFinder):
    """Lie as soon as the process is about to read its kit."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "nvflare.private.fed.app.fl_conf":
            sys.meta_path.remove(self)
            _lie_from_now_on()


if "CONSILIUM_LIES" in os.environ and any("worker_process" in word for word in sys.orig_argv):
    sys.meta_path.insert(0, _Finder())
