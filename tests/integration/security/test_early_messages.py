"""What reaches a server before it has started: FLARE opens its port first, and knows its certificate last."""

from contextlib import suppress
from pathlib import Path

import pytest
from nvflare.fuel.flare_api.api_spec import InternalError, NoConnection

from consilium.provisioning.policy import CLASS_ALLOW_LIST
from waiting import wait_until

from ..studies import edit_json
from .federation import LEAD, SERVER_NAME, Federation, free_port, provision
from .hesitation import Hesitation
from .network import Network

pytestmark = pytest.mark.integration

SITE = "north"
HESITATION = f"{Hesitation.__module__}.{Hesitation.__qualname__}"


@pytest.fixture
def own_federation(tmp_path, hospitals):
    network = Network([SITE], free_port(), isolated=False)
    datasets = dict.fromkeys(("north", "south", "clinic"), hospitals[SITE])
    kits, _ = provision(tmp_path / "project", datasets, network.address["server"], network.port)
    federation = Federation(kits, network, tmp_path)
    yield federation
    federation.stop()


@pytest.fixture
def hesitating(own_federation, tmp_path):
    """The file that lets the server continue; it is still starting."""

    def hesitate(resources):
        resources["components"].append(
            {"id": "hesitation", "path": HESITATION, "args": {"until": str(tmp_path / "continue")}}
        )
        resources[CLASS_ALLOW_LIST].append(HESITATION)

    edit_json(own_federation.kits[SERVER_NAME] / "local/resources.json.default", hesitate)
    own_federation.start(SERVER_NAME, environment={"PYTHONPATH": str(Path(__file__).parents[2])})
    wait_until(lambda: "hesitates" in own_federation.log_of(SERVER_NAME), "the server's port is open")
    return tmp_path / "continue"


def test_sites_and_users_who_came_too_early_get_in_once_it_has_started(own_federation, hesitating):
    own_federation.start(SITE)
    wait_until(lambda: "re-challenge" in own_federation.log_of(SITE), "the site was asked to come again")
    with suppress(NoConnection, InternalError), own_federation.session(LEAD, seconds=5.0):
        pytest.fail("it let a user in before it had started")
    hesitating.touch()
    wait_until(lambda: "Server started" in own_federation.log_of(SERVER_NAME), "the server started")
    with own_federation.session(LEAD) as session:
        wait_until(lambda: own_federation.connected(session) == {SITE}, "the site is connected")
