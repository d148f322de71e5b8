"""A site's process in a job with differential privacy: it trains the rounds that a test asks for.

It lives until it is killed or has answered, as the process that FLARE starts for a job does.
"""

import json
import sys
from pathlib import Path

from federation.flare import Engine
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from toy_private import private_toy

from consilium.federation.message_names import CODE_HEADER, PREPARE, REASON_HEADER, RUN_META, TRAIN
from consilium.federation.site.executor import SiteExecutor
from consilium.learning.network_state import initial_weights
from consilium.tasks import get_task
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings


def main(request: dict, algorithm: dict) -> None:
    """Prepare the job and train its rounds; a line of JSON for each answer."""
    engine = Engine(Path(request["workspace"]), job_id=request["job"])
    properties = {"consilium": request["site"]}
    engine.context.set_prop(FLContextKey.SCOPE_PROPERTIES, properties, private=True, sticky=False)
    executor = SiteExecutor(request["learning"], algorithm, min_sites=1)
    learning = BrainTumorSettings.model_validate(request["learning"])
    weights = initial_weights(get_task(learning.task), learning, 0)
    for task, index in [(PREPARE, 0), *((TRAIN, index) for index in request["rounds"])]:
        model = FLModel(
            params_type=ParamsType.FULL,
            params=dict(weights),
            current_round=index,
            total_rounds=request["total_rounds"],
            meta={RUN_META: request["run"]},
        )
        reply = executor.execute(task, FLModelUtils.to_shareable(model), engine.context, Signal())
        trained = reply.get_return_code() == ReturnCode.OK
        answer = {"task": task, "round": index, "ok": trained, "code": reply.get_header(CODE_HEADER)}
        sys.stdout.write(json.dumps({**answer, "reason": reply.get_header(REASON_HEADER)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with private_toy() as settings:  # its rounds all cost the same, whatever the number of patients
        main(json.loads(sys.argv[1]), settings)
