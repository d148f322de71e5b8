from pathlib import Path

import pytest
from nvflare.private.defs import SysCommandTopic
from nvflare.security.security import COMMAND_CATEGORIES

import rights
from consilium.errors import ConfigurationError
from consilium.guard.site_commands import COMMANDS, Command
from consilium.provisioning.policy import authorization_policy
from rights import BEGIN, END, covered_rights, rights_table, write_table

DOCS = Path(__file__).parents[3] / "docs"


def row(table, beginning):
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {beginning}")]
    return [cell.strip() for cell in line.split("|")[2:-1]]


def test_the_page_s_table_is_the_policy_s():
    page = (DOCS / "rights.md").read_text()
    assert page.split(BEGIN)[1].split(END)[0] == rights_table(), "run `make rights`"


def test_no_other_page_has_a_table_of_rights():
    titled = [page.name for page in DOCS.glob("*.md") if "| project admin | lead |" in page.read_text()]
    assert titled == ["rights.md"]


def test_every_right_and_every_command_of_flare_s_is_in_the_table():
    categories = set(COMMAND_CATEGORIES.values())
    stated = {
        right
        for kind in ("server", "client")
        for permissions in authorization_policy(kind)["permissions"].values()
        for right in permissions
    }
    assert covered_rights() >= set(COMMAND_CATEGORIES) | (stated - categories)


def test_a_hospital_s_files_are_read_at_its_own_machine_only():
    table = rights_table()
    assert row(table, "read files and logs of a hospital") == ["no", "no", "no", "no", "yes"]
    assert row(table, "restart or stop a hospital") == ["no", "no", "no", "no", "yes"]


def test_another_policy_gives_another_table(monkeypatch):
    before = rights_table()

    def generous(kind):
        policy = authorization_policy(kind)
        policy["permissions"]["member"]["submit_job"] = "any"
        policy["permissions"]["org_admin"]["shell_commands"] = "o:site"
        return policy

    monkeypatch.setattr(rights, "authorization_policy", generous)
    assert row(rights_table(), "submit a job")[3] == "yes"
    assert row(rights_table(), "read files and logs of a hospital")[2] == "no"  # it has no such command
    monkeypatch.setattr(rights, "COMMANDS", {**COMMANDS, SysCommandTopic.SHELL: Command(right="cat")})
    assert row(rights_table(), "read files and logs of a hospital")[2] == "own hospital's"
    assert row(before, "submit a job")[3] == "no"


def test_a_row_that_is_not_one_truth_is_an_error(monkeypatch):
    def half(kind):
        policy = authorization_policy(kind)
        policy["permissions"]["lead"]["get_job_log"] = "any"
        return policy

    monkeypatch.setattr(rights, "authorization_policy", half)
    with pytest.raises(ConfigurationError, match="split it"):
        rights_table()


def test_a_page_without_its_place_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Nothing\n")
    with pytest.raises(ConfigurationError, match="make rights"):
        write_table(page)
    assert page.read_text() == "# Nothing\n"
