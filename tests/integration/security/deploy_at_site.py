"""Give apps to a hospital's own code, as a server would that lets everything through.

A process of its own: standard input holds the kit's folder and the requests, standard output what the site
answered, and what each request changed in the kit.
"""

import argparse
import base64
import hashlib
import json
import os
import sys
from pathlib import Path

from nvflare.apis.fl_constant import SiteType, SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace
from nvflare.private.admin_defs import Message
from nvflare.private.defs import RequestHeader, TrainingTopic
from nvflare.private.fed.app.fl_conf import FLClientStarterConfiger, create_privacy_manager
from nvflare.private.fed.client.client_engine import ClientEngine
from nvflare.private.fed.client.client_req_processors import ClientRequestProcessors
from nvflare.private.fed.utils.fed_utils import security_init
from nvflare.private.privacy_manager import PrivacyService


class Engine(ClientEngine):
    """FLARE's engine of a hospital without a connection, as far as a deployment asks it."""

    def __init__(self, args, site):
        self.args = args
        self.site = site

    def get_client_name(self):
        return self.site

    def get_component(self, component_id):
        assert component_id == SystemComponents.APP_DEPLOYER
        return

    def new_context(self):
        return FLContext()


def main() -> None:
    """Start as FLARE's `client_train` does, up to where it would connect; then deploy each app."""
    request = json.load(sys.stdin)
    kit, site = request["kit"], request["site"]
    os.chdir(kit)
    settings = ["secure_train=true", f"uid={site}", f"org={request['org']}", "config_folder=config"]
    args = argparse.Namespace(workspace=kit, fed_client="fed_client.json", set=settings, job_id=None)
    workspace = Workspace(root_dir=kit, site_name=site, config_folder="config")
    configurator = FLClientStarterConfiger(workspace=workspace, args=args, kv_list=settings)
    configurator.configure()
    security_init(
        secure_train=True,
        site_org=configurator.site_org,
        workspace=workspace,
        app_validator=configurator.app_validator,
        site_type=SiteType.CLIENT,
    )
    PrivacyService.initialize(create_privacy_manager(workspace, names_only=True))
    answers = {}
    processor = next(
        one for one in ClientRequestProcessors.request_processors if TrainingTopic.DEPLOY in one.get_topics()
    )
    for name, app in request["apps"].items():
        before = digests(Path(kit))
        message = Message(topic=TrainingTopic.DEPLOY, body=base64.b64decode(app["archive"]))
        message.set_header(RequestHeader.JOB_ID, app["job_id"])
        message.set_header(RequestHeader.JOB_META, app["meta"])
        message.set_header(RequestHeader.APP_NAME, app.get("app_name", "app"))
        reply = processor.process(message, Engine(args, site))
        after = digests(Path(kit))
        changed = sorted(path for path in before | after if before.get(path) != after.get(path))
        answers[name] = {"reply": str(reply.body), "changed": changed}
    json.dump(answers, sys.stdout)


def digests(kit: Path) -> dict[str, str]:
    """What lies in the kit; not its logs."""
    return {
        path.relative_to(kit).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in kit.rglob("*")
        if path.name not in ("audit.log", "log.txt")
    }


if __name__ == "__main__":
    main()
