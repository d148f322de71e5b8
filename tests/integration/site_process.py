"""A site in a process of its own, so that a test can kill it: `SiteExecutor` carries out a job's tasks."""

import json
import sys
import time
from pathlib import Path

import psutil
from federation.flare import Engine
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.federation.message_names import PREPARE, REASON_HEADER, REPORT_META, TEST, TRAIN
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.model_file import load_model, save_model


def main(folder: Path) -> None:
    """Prepare, train two rounds, evaluate; write the answers and wait to be killed."""
    request = json.loads((folder / "request.json").read_text())
    engine = Engine(folder / "workspace")
    properties = {"consilium": request["site"]}
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)
    executor = SiteExecutor(request["learning"])
    weights = load_model(folder / "start.safetensors")[0]

    def execute(task: str, round_index: int, params: object) -> FLModel:
        model = FLModel(params_type=ParamsType.FULL, params=params, current_round=round_index, total_rounds=2)
        reply: Shareable = executor.execute(task, FLModelUtils.to_shareable(model), engine.context, Signal())
        assert reply.get_return_code() == ReturnCode.OK, reply.get_header(REASON_HEADER)
        return FLModelUtils.from_shareable(reply)

    execute(PREPARE, 0, dict(weights))
    losses = []
    for index in range(2):
        answer = execute(TRAIN, index, dict(weights))
        weights = {name: weights[name] + change for name, change in answer.params.items()}
        losses.append(answer.meta[REPORT_META]["loss"])
    save_model(folder / "end.safetensors", weights, {})
    metrics = execute(TEST, 2, dict(weights)).metrics
    children = psutil.Process().children(recursive=True)
    answer = {
        "losses": losses,
        "metrics": metrics,
        "processes": [process.pid for process in children],
        "folder": children[-1].cwd(),
        "files": [file.name for file in Path(children[-1].cwd()).iterdir()],
    }
    (folder / "answer.partial").write_text(json.dumps(answer))
    (folder / "answer.partial").rename(folder / "answer.json")
    time.sleep(600)  # the test ends this process; where the test itself was ended, it ends by itself


if __name__ == "__main__":
    main(Path(sys.argv[1]))
