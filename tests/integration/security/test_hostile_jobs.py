"""What no user of a federation may do."""

import pytest

from consilium.guard.audit_log import audit_text

from .conftest import MEMBER, NORTH_ADMIN, PROJECT_ADMIN, SHELL_COMMANDS, SUBMITTERS
from .federation import LEAD, SERVER_NAME, SITES, SOUTH_ADMIN
from .hostile import REASONS

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", REASONS)
def test_a_hostile_job_is_rejected_with_its_reason_and_on_record(federation, attacks, name):
    answer = attacks.submissions[LEAD, name]
    assert answer.startswith("InvalidJobDefinition")
    assert REASONS[name] in answer
    assert any(
        "[A:job_rejected]" in entry and audit_text(REASONS[name]) in entry
        for entry in federation.audit_of(SERVER_NAME).splitlines()
    )


@pytest.mark.parametrize("user", SUBMITTERS)
def test_nobody_may_bring_code(federation, attacks, user):
    answer = attacks.submissions[user, "code of its own"]
    if user in (LEAD, PROJECT_ADMIN):
        assert "contains code of its own" in answer
    else:
        assert f"user '{user}' is not authorized for 'submit_job'" in answer
        assert _refused_command(federation, SERVER_NAME, user, "submit_job")


def test_a_hospitals_admin_may_not_submit_even_an_ordinary_job(federation, attacks):
    answer = attacks.submissions[NORTH_ADMIN, "ordinary"]
    assert answer.startswith("AuthorizationError")
    assert "is not authorized for 'submit_job'" in answer


def test_each_hospital_rejects_an_unknown_scope(federation, attacks):
    assert attacks.scope["status"] == "FINISHED:FAILED_TO_RUN"
    for site in SITES:
        assert (
            f"{site}: NVFLARE_ERROR: privacy scope 'research' is not allowed"
            in attacks.scope["job_deploy_detail"]
        )
        assert f"[U:{LEAD}][A:train.deploy]" in federation.audit_of(site)


@pytest.mark.parametrize("command", SHELL_COMMANDS)
@pytest.mark.parametrize("site", ["north", "south"])
def test_a_hospitals_files_are_read_by_nobody_from_elsewhere(federation, attacks, command, site):
    """Nor by its own admin: that a user is that admin, is what the server says."""
    assert "this site rejects the command" in attacks.commands[command.format(site)]
    assert "[U:server][A:command_rejected]sys.shell" in federation.audit_of(site)


@pytest.mark.parametrize("command", SHELL_COMMANDS)
def test_the_servers_files_are_read_by_its_own_admin_only(federation, attacks, command):
    word = command.partition(" ")[0]
    denial = f"user '{SOUTH_ADMIN}' is not authorized for '{word}'"
    assert denial in attacks.commands[command.format("server")]
    assert _refused_command(federation, SERVER_NAME, SOUTH_ADMIN, f"{word} server")


def test_a_user_who_may_only_look_is_on_record_for_trying_more(federation, attacks):
    assert _refused_command(federation, SERVER_NAME, MEMBER, "submit_job")


def _refused_command(federation, participant, user, command):
    return any(
        f"[U:{user}][A:command_right]" in entry and command in entry
        for entry in federation.audit_of(participant).splitlines()
    )
