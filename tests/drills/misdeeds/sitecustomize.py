"""Python reads this at its start where it is on the path: a site whose updates are what a file says.

The file is `misdeeds.json` in the site's kit. It says for a round, from 1, what is done to its update; in all
others, and without the file, the site is honest.
"""

import json
import os
import sys
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

MISDEEDS = Path(os.environ["CONSILIUM_MISDEEDS"])


def _spoil() -> None:
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils

    from consilium.federation.site.executor import SiteExecutor

    execute = SiteExecutor.execute
    first: dict[str, Any] = {}

    @wraps(execute)
    def dishonest(self: SiteExecutor, task: str, *args: Any) -> Any:
        reply = execute(self, task, *args)
        if task != "train" or reply.get_return_code() != "OK":
            return reply
        model = FLModelUtils.from_shareable(reply)
        first.setdefault("update", model.params)
        misdeeds = json.loads(MISDEEDS.read_text()) if MISDEEDS.exists() else {}
        misdeed = misdeeds.get(str(model.current_round + 1))
        if misdeed == "replay":
            model.params = first["update"]
        elif misdeed:
            factor = {"nan": np.nan, "1000x": 1000, "flip": -10}[misdeed]
            model.params = {
                name: value * np.asarray(factor, value.dtype) if value.dtype.kind == "f" else value
                for name, value in model.params.items()
            }
        return FLModelUtils.to_shareable(model)

    SiteExecutor.execute = dishonest  # type: ignore[method-assign]


if any("worker_process" in word for word in sys.orig_argv):
    _spoil()
