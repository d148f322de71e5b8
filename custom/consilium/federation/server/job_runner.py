"""Job runner of the server that continues without lost sites and readmits them."""

from __future__ import annotations

from typing import Any

from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import RunProcessKey, SiteType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import ALL_SITES, Job, JobMetaKey, RunStatus, get_job_meta_study
from nvflare.apis.job_launcher_spec import JobReturnCode
from nvflare.apis.job_scheduler_spec import DispatchInfo
from nvflare.apis.utils.job_utils import get_event_job_id
from nvflare.private.admin_defs import Message, MsgHeader, ReturnCode
from nvflare.private.defs import ERROR_MSG_PREFIX
from nvflare.private.fed.server.job_runner import JobRunner
from nvflare.private.fed.utils.fed_utils import extract_participants
from nvflare.security.study_registry import StudyRegistryService
from nvflare.utils.job_launcher_utils import get_resource_manager_spec

from consilium.errors import ConsiliumError

_OUTCOME_SECONDS = 60.0
"""How long a finished job waits for its sites' exit codes; FLARE waits 900 s for a dead one."""


class SiteNotStarted(ConsiliumError):
    """A site that can't join a running job at this time."""


class ResilientJobRunner(JobRunner):  # type: ignore[misc]
    """Continues a job without a site that died, and takes the site back into the running job.

    FLARE's own runner ends the job for all when one site's process fails, and never restarts a process. The
    job's controller decides by its quorum whether the remaining sites are enough.

    Args:
        workspace_root: The server's workspace.
    """

    def __init__(self, workspace_root: str) -> None:
        super().__init__(workspace_root)
        self.client_outcome_wait_timeout = _OUTCOME_SECONDS
        self._deployed: dict[str, set[str]] = {}

    def fail_run(self, job_id: str, process_return_code: int, fl_ctx: FLContext) -> str:
        """Log that a site's process of a job has failed, instead of ending the job as FLARE does."""
        self.log_warning(
            fl_ctx,
            f"a site's process of job {job_id} failed (code {process_return_code}); the job continues",
            fire_event=False,
        )
        return ""

    @staticmethod
    def _classify_finished_job_status(run_process: dict[str, Any] | None) -> RunStatus:
        """Distinguish a killed process, which reports no end, from a failed job.

        FLARE expects the code -9, but its launcher returns 1 for both.
        """
        status: RunStatus = JobRunner._classify_finished_job_status(run_process)
        killed = (
            run_process is not None
            and not run_process.get(RunProcessKey.PROCESS_FINISHED)
            and run_process.get(RunProcessKey.PROCESS_RETURN_CODE) == JobReturnCode.EXECUTION_ERROR
        )
        return RunStatus.FINISHED_ABNORMAL if killed else status

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Forget the deployments of a job that has ended."""
        super().handle_event(event_type, fl_ctx)
        if event_type == EventType.JOB_COMPLETED:
            self._deployed.pop(str(get_event_job_id(fl_ctx)), None)

    def sites_of(self, job: Job, fl_ctx: FLContext) -> list[Client]:
        """Return the connected sites that a job is deployed to."""
        registry = StudyRegistryService.get_registry()
        enrolled = registry.get_sites(get_job_meta_study(job.meta)) if registry else None
        return [
            client
            for client in fl_ctx.get_engine().get_clients()
            if (enrolled is None or client.name in enrolled) and _app_for(job, client.name) is not None
        ]

    def start_at(self, job: Job, client: Client, fl_ctx: FLContext) -> None:
        """Start a running job at a site.

        A site that has the job's app from before its process died is restarted in the same folder, so none
        of its logs is lost; a site that is new to the job gets the app first.

        Raises:
            SiteNotStarted: If the site has no free resources, rejects the job, or does not answer.
        """
        engine = fl_ctx.get_engine()
        meta = {**job.meta, JobMetaKey.RESOURCE_SPEC.value: job.resource_spec}
        requirements = {client.name: get_resource_manager_spec(meta, client.name)}
        checked = engine.check_client_resources(job, requirements, fl_ctx)
        enough, token = checked.get(client.name, (False, "no answer"))
        if not enough:
            raise SiteNotStarted(f"it has no free resources for the job ({token or 'no reason given'})")
        app = _app_for(job, client.name) or ""
        dispatch = {client.name: DispatchInfo(app, requirements[client.name], token)}
        try:
            former = self._take_in(job, client, engine)
            deployed = self._deployed.setdefault(job.job_id, former)
            if client.name not in deployed:
                self._deploy_at(job, client, app, fl_ctx)
                deployed.add(client.name)
        except SiteNotStarted:
            engine.cancel_client_resources(checked, requirements, fl_ctx)
            raise
        fault = _fault(engine.start_client_job(job, dispatch, fl_ctx))
        if fault is not None:
            deployed.discard(client.name)  # its disk may be a new one
            raise SiteNotStarted(fault)
        with self.lock:
            self._pending_client_outcomes.setdefault(job.job_id, set()).add(client.name)

    def _take_in(self, job: Job, client: Client, engine: object) -> set[str]:
        """Make the site, with the token of its session, a participant; return the participants before.

        The job's process asks for them.
        """
        with engine.lock:  # type: ignore[attr-defined]
            run = engine.run_processes.get(job.job_id)  # type: ignore[attr-defined]
            if run is None:
                raise SiteNotStarted("the job has ended")
            before = run[RunProcessKey.PARTICIPANTS]
            others = {token: one for token, one in before.items() if one.name != client.name}
            run[RunProcessKey.PARTICIPANTS] = now = {**others, client.token: client}
            job.meta[JobMetaKey.JOB_CLIENTS.value] = [one.to_dict() for one in now.values()]
            return {one.name for one in before.values()}

    def _deploy_at(self, job: Job, client: Client, app: str, fl_ctx: FLContext) -> None:
        admin = fl_ctx.get_engine().server.admin_server
        message = self._make_deploy_message(job, job.get_application(app, fl_ctx), app, fl_ctx)
        replies = admin.send_requests_and_get_reply_dict({client.token: message}, timeout_secs=admin.timeout)
        reply: Message | None = replies.get(client.token)
        if reply is None:
            raise SiteNotStarted("it did not answer when it was sent the job")
        if reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) != ReturnCode.OK:
            raise SiteNotStarted(f"it rejected the job: {reply.body}")


def _app_for(job: Job, site: str) -> str | None:
    for app, deployments in job.get_deployment().items():
        names = extract_participants(deployments)
        if site in names or any(name.upper() == ALL_SITES for name in names if name != SiteType.SERVER):
            return str(app)
    return None


def _fault(replies: list[object]) -> str | None:
    """Return why a site did not start a job; None if it did."""
    reply = replies[0].reply if replies else None  # type: ignore[attr-defined]
    if reply is None:
        return "it did not answer when it was asked to start the job"
    body = str(reply.body)
    return body.removeprefix(f"{ERROR_MSG_PREFIX}: ") if body.startswith(ERROR_MSG_PREFIX) else None
