"""What holds for a task of any other package: the policy lists it, and nothing here knows it."""

import json
import subprocess
import sys

import pytest
from tasks.packages import TOYS, brought

from consilium.errors import SiteRefusal
from consilium.guard.job_rules import check_app
from consilium.participant.site_settings import SiteSettings
from consilium.recipes.catalog import build_recipe

SCRIPT = """
import json, sys
package, module = sys.argv[1:]
sys.path.insert(0, package)
from consilium.errors import ConfigurationError
from consilium.guard.job_rules import check_app
app = {name: text.encode() for name, text in json.load(sys.stdin).items()}
try:
    check_app(app, lambda path: None, "client", listed=frozenset())
except ConfigurationError as error:
    print(error)
print(module in sys.modules)
"""


@pytest.fixture(params=["chest_ct", "fundus"])
def task(request):
    """A task that a package brings."""
    with brought(request.param):
        yield request.param


@pytest.mark.quick_cases(1)
def test_a_job_is_declined_before_import_where_the_policy_does_not_list_the_task(task):
    files = build_recipe(f"{task}_fedavg").files()
    parts = {"config/config_fed_server.json": files.server, "config/config_fed_client.json": files.client}
    app = {name: json.dumps(content) for name, content in parts.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(TOYS / task), f"toy_{task}"],
        input=json.dumps(app), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    reason, imported = done.stdout.splitlines()
    assert "policy does not list it" in reason
    assert imported == "False"
    content = {name: text.encode() for name, text in app.items()}
    check_app(content, lambda path: None, "client", listed={task})
    SiteSettings(dataset="/data", tasks={task: {}}).require_listed(task)
    with pytest.raises(SiteRefusal, match="policy does not list it"):
        SiteSettings(dataset="/data").require_listed(task)


def test_the_package_is_named_nowhere_else(task):
    package = TOYS.parents[1] / "custom"
    assert [path for path in package.rglob("*.py") if task in path.read_text(encoding="utf-8")] == []
