"""What the server's job runner makes of the end of a job's process."""

import pytest
from nvflare.apis.fl_constant import RunProcessKey
from nvflare.apis.job_def import RunStatus
from nvflare.apis.job_launcher_spec import JobReturnCode

from consilium.federation.server.job_runner import ResilientJobRunner

KILLED = {RunProcessKey.PROCESS_RETURN_CODE: JobReturnCode.EXECUTION_ERROR}
FAILED = {**KILLED, RunProcessKey.PROCESS_FINISHED: True, RunProcessKey.PROCESS_EXE_ERROR: True}
ABORTED = {RunProcessKey.PROCESS_RETURN_CODE: JobReturnCode.ABORTED}


@pytest.mark.parametrize(
    ("process", "status"),
    [
        (None, RunStatus.FINISHED_COMPLETED),
        (KILLED, RunStatus.FINISHED_ABNORMAL),
        (FAILED, RunStatus.FINISHED_EXECUTION_EXCEPTION),
        (ABORTED, RunStatus.FINISHED_ABORTED),
    ],
    ids=["completed", "killed", "failed", "aborted"],
)
def test_the_status_of_a_job_whose_process_has_ended(tmp_path, process, status):
    runner = ResilientJobRunner(str(tmp_path))
    assert runner._classify_finished_job_status(process) == status
