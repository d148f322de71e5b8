"""Kubernetes launcher for a hospital's jobs, with the hospital's own pod description."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import yaml
from nvflare.app_opt.job_launcher.k8s_launcher import ClientK8sJobLauncher, K8sJobHandle, K8sJobLauncher
from nvflare.app_opt.job_launcher.study_runtime import StudyRuntime

from consilium.errors import ConfigurationError
from consilium.federation.replacement import require_known

JOB_POD: Final = "local/job_pod.yaml"
"""File in a kit: what every pod of a job has, beside what FLARE adds for the job."""

_NOT_FOUND: Final = 404
_SECONDS_TO_VANISH: Final = 90.0
"""A pod has 30 s to end."""
_SECONDS_BETWEEN_LOOKS: Final = 0.5


class SitePodLauncher(ClientK8sJobLauncher):  # type: ignore[misc]
    """Start every job as the pod of `local/job_pod.yaml`.

    FLARE takes the pod's description from the study of the job. A job of another study, or of none, gets a
    pod without a security context, without the volumes that survive it, and with its image pulled each time.
    And FLARE leaves the pod of an ended job where it is, under the name that the job's next pod has: one that
    was evicted, whose node failed, or whose site was started again, could not be started again.

    Args:
        image: The image of jobs for whose study `local/study_runtime.yaml` names none.
        settings: The arguments of FLARE's launcher.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """

    def __init__(self, image: str, **settings: Any) -> None:
        require_known(K8sJobLauncher, K8sJobHandle)
        super().__init__(**settings)
        self._image = image

    def _resolve_study_runtime(self, workspace_root: str, study: str | None) -> StudyRuntime:
        runtime = super()._resolve_study_runtime(workspace_root, study) or StudyRuntime(study=study or "")
        if runtime.pod_template is None:
            runtime.pod_template = read_job_pod(Path(workspace_root))
        runtime.container_image = runtime.container_image or self._image
        return runtime

    def _ensure_job_credential_secret(self, pod_name: str, credential_env: dict[str, str]) -> str:
        self._remove_earlier(pod_name)  # this is the last that FLARE does before it creates the pod
        return str(super()._ensure_job_credential_secret(pod_name, credential_env))

    def _remove_earlier(self, pod_name: str) -> None:
        """Remove the pod of an earlier start of the same job, and wait until its name is free.

        FLARE starts no job that this process runs already, so what is there has ended, or runs for a process
        of this site that is gone.
        """
        from kubernetes.client.rest import ApiException

        place = {"name": pod_name, "namespace": self.namespace}
        deadline = time.monotonic() + _SECONDS_TO_VANISH
        while time.monotonic() < deadline:
            try:
                pod = self.core_v1.read_namespaced_pod(**place)
                if pod.metadata.deletion_timestamp is None:
                    self.logger.warning("removing pod %s of an earlier start of this job", pod_name)
                    self.core_v1.delete_namespaced_pod(**place)
            except ApiException as error:
                if error.status == _NOT_FOUND:
                    return
                raise
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        raise RuntimeError(
            f"pod {pod_name} of an earlier start of this job does not end; if its node is lost: "
            f"kubectl -n {self.namespace} delete pod {pod_name} --force"
        )


def read_job_pod(kit: Path) -> dict[str, Any]:
    """Read the settings of every job's pod.

    Raises:
        ConfigurationError: If the file is missing or describes no pod.
    """
    try:
        pod = yaml.safe_load((kit / JOB_POD).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{JOB_POD} can't be read ({error}); no job starts without it: `consilium kits prepare` writes it"
        ) from None
    if not isinstance(pod, dict) or pod.get("kind") != "Pod":
        raise ConfigurationError(
            f"{JOB_POD} describes no pod (kind: Pod); `consilium kits prepare` writes one"
        )
    return pod
