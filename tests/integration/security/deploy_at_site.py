"""Give apps to a hospital's own code, as a server would that lets everything through.

A process of its own: standard input holds the kit's folder and the apps, standard output what the site said.
"""

import argparse
import base64
import json
import os
import sys

from nvflare.apis.fl_constant import SiteType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.workspace import Workspace
from nvflare.private.fed.app.fl_conf import FLClientStarterConfiger, create_privacy_manager
from nvflare.private.fed.utils.app_deployer import AppDeployer
from nvflare.private.fed.utils.fed_utils import security_init
from nvflare.private.privacy_manager import PrivacyService


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
    for name, app in request["apps"].items():
        archive = base64.b64decode(app["archive"])
        answers[name] = AppDeployer().deploy(
            workspace, app["job_id"], app["meta"], "app", archive, FLContext()
        )
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
