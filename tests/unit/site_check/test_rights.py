import pytest

from consilium.provisioning.kit import Kit
from consilium.provisioning.policy import authorization_policy
from consilium.site_check.finding import Status
from consilium.site_check.rights import check_byoc, check_rights

from .federation import write

ROLES = authorization_policy("client")["permissions"]


def byoc(root, permissions):
    write(root / "local" / "authorization.json", {"format_version": "1.0", "permissions": permissions})
    return check_byoc(Kit(root))


def rights(root, role, right, expression):
    """Give a role a right beside those that were provisioned."""
    permissions = {**ROLES, role: {**ROLES.get(role, {}), right: expression}}
    write(root / "local" / "authorization.json", {"format_version": "1.0", "permissions": permissions})
    return check_rights(Kit(root))


def test_the_rights_as_provisioned_are_well(kit):
    assert check_byoc(kit).status is Status.OK
    assert check_rights(kit).status is Status.OK


@pytest.mark.parametrize("right", ["any", "o:site", "n:submitter", ["none", "o:site"], "not o:site", "all"])
def test_byoc_granted_to_anybody_is_rejected(root, refused, right):
    finding = byoc(root, {"lead": {"byoc": right}, "member": {"view": "any"}})
    refused(finding, "code of their own on this machine: lead", '"byoc": "none" for lead')
    assert finding.data["granted"] == ["lead"]


@pytest.mark.parametrize("right", ["any", "o:site"])
def test_a_role_with_every_right_has_byoc_too(root, refused, right):
    refused(byoc(root, {"project_admin": right}), "project_admin", "list its rights instead")


@pytest.mark.parametrize(
    "rights", [{"byoc": "none"}, {"byoc": "no"}, {"byoc": ["none", "not o:site"]}, {"view": "any"}, "none"]
)
def test_byoc_denied_in_any_spelling_is_well(root, rights):
    assert byoc(root, {"lead": rights}).status is Status.OK


def test_without_a_policy_flare_permits_everything_so_it_is_rejected(root, refused):
    for name in ("authorization.json", "authorization.json.default"):
        (root / "local" / name).unlink()
    refused(check_byoc(Kit(root)), "permits everything to everybody", "ask the project admin")


@pytest.mark.parametrize("permissions", [{}, [], {"lead": {"byoc": "sometimes"}}, {"lead": {"byoc": 3}}])
def test_a_policy_that_flare_can_t_read_is_rejected(root, refused, permissions):
    refused(byoc(root, permissions), "local/authorization.json", "correct it")


@pytest.mark.parametrize(
    ("role", "right", "expression"),
    [
        ("org_admin", "submit_job", "any"),
        ("member", "submit_job", "any"),
        ("lead", "shell_commands", "any"),
        ("lead", "operate", "any"),
        ("lead", "operate", ["o:site", "n:submitter"]),
        ("visitor", "view", "any"),
        ("member", "*", "any"),
        ("lead", "submit_job", "not o:site"),
    ],
)
def test_a_right_that_was_not_provisioned_is_rejected(root, refused, role, right, expression):
    finding = rights(root, role, right, expression)
    refused(finding, f"{right} of {role}", 'set these to "none"')


def test_a_role_with_every_right_was_not_provisioned(root, refused):
    write(root / "local/authorization.json", {"format_version": "1.0", "permissions": {"lead": "any"}})
    refused(check_rights(Kit(root)), "lead", 'set these to "none"')


@pytest.mark.parametrize("expression", ["none", "no", ["none", "not any"]])
def test_denying_more_is_well(root, expression):
    assert rights(root, "lead", "submit_job", expression).status is Status.OK


def test_what_can_not_be_read_is_left_to_the_check_of_code(root):
    (root / "local/authorization.json").write_text("{")
    assert check_rights(Kit(root)).status is Status.SKIPPED
