"""Python reads this at its start where it is on the path: write down a simulated site's waits for tasks.

Each site appends to a file of its own in the folder `CONSILIUM_WAITS`, one row a request: whether it brought
a task, how long the site was to wait then, and whether the server woke it.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

if "CONSILIUM_WAITS" in os.environ and any("simulator_worker" in word for word in sys.orig_argv):
    from consilium.federation.site import task_wait

    fetch, wait = task_wait._fetch_and_run, task_wait.TaskWait.wait
    brought: list[bool] = []

    def watched_fetch(*arguments: Any) -> tuple[float, bool]:
        seconds, processed = fetch(*arguments)
        brought.append(processed)
        return seconds, processed

    def watched_wait(self: Any, seconds: float, stopped: Any) -> None:
        wait(self, seconds, stopped)
        row = {"task": brought[-1], "seconds": seconds, "woken": self._ready.is_set()}
        with (Path(os.environ["CONSILIUM_WAITS"]) / f"{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")

    vars(task_wait)["_fetch_and_run"] = watched_fetch
    task_wait.TaskWait.wait = watched_wait  # type: ignore[method-assign]
