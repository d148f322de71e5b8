import json
import os
from dataclasses import replace

import pytest

from consilium.participant.site_settings import SiteSettings
from consilium.privacy.demand import PrivacyDemand
from consilium.privacy.promise import PrivacyPromise
from consilium.provisioning.kit import Kit
from consilium.secagg.identity import IDENTITY_FILE, SiteIdentity, format_fingerprint
from consilium.secagg.peers import PEERS_FILE, PinnedPeers
from consilium.site_check.finding import Status
from consilium.site_check.readiness import check_site
from consilium.site_check.secure_aggregation import check_secure_aggregation

from .federation import SERVER, read, write


@pytest.fixture
def site(tmp_path):
    return SiteSettings(dataset=tmp_path)


@pytest.fixture
def demanding(site):
    return site.model_copy(update={"privacy": PrivacyDemand(secure_aggregation=True)})


@pytest.fixture
def masked(job):
    return replace(job, name="secure", promise=PrivacyPromise(secure_aggregation=True))


@pytest.fixture
def identity(root):
    """The identity that a test of a hospital with one starts from."""
    return SiteIdentity.create(root / "local" / IDENTITY_FILE)


@pytest.fixture
def pin(root):
    """Pin some hospitals, and set what the hospital demands of a sum."""

    def pin(*names, **demands):
        path = root / "local" / PEERS_FILE
        peers = {name: format_fingerprint(bytes([number] * 32)) for number, name in enumerate(names)}
        write(path, {"peers": peers, **demands})

    return pin


def test_a_hospital_that_is_set_up_is_told_what_it_demands_of_a_sum(kit, identity, pin, demanding, job):
    pin("south", "west", "east", "center", "coast")
    finding = check_secure_aggregation(kit, demanding, job)
    assert finding.status is Status.OK
    text = format_fingerprint(identity.fingerprint)
    assert finding.seen == (
        f"identity {text[:23]}..., 5 other hospitals pinned; of all 6, 4 must be left at the end of a "
        "sum, in jobs of fewer hospitals too"
    )
    assert finding.data == {"peers": 5, "threshold": 4, "min_survivors": 4, "colluding_sites": 0}
    assert text not in json.dumps([finding.seen, dict(finding.data)])  # the project admin may get these


def test_a_hospital_that_lowered_its_minimum_is_told_what_that_allows(kit, identity, pin, demanding, job):
    pin("south", "west", "east", "center", "coast", min_survivors=3)
    finding = check_secure_aggregation(kit, demanding, job)
    assert (
        "of all 6, 4 must be left at the end of a sum. min_survivors 3 in local/secagg_peers.json"
        in finding.seen
    )
    assert "open two sums of a round" in finding.seen
    assert finding.data["min_survivors"] == 3
    pin("south", "west", "east", "center", "coast", min_survivors=4)
    assert check_secure_aggregation(kit, demanding, job).seen.endswith("4 must be left at the end of a sum")


def test_the_hospital_s_own_limits_decide_how_many_it_has_to_pin(kit, identity, pin, demanding, job, refused):
    pin("south", "west", colluding_sites=1)
    assert check_secure_aggregation(kit, demanding, job).data["threshold"] == 3
    pin("south", "west", colluding_sites=3)
    finding = check_secure_aggregation(kit, demanding, job)
    refused(finding, "pins 2 other hospitals, and with this one a sum is of 5 or more", "for 2 more at least")
    pin("south", "west", "east", min_survivors=5)
    finding = check_secure_aggregation(kit, demanding, job)
    refused(finding, "pins 3 other hospitals", "consilium identity pin KIT")


def test_where_nothing_is_set_up_it_is_said_and_no_fault(kit, site, job):
    finding = check_secure_aggregation(kit, site, job)
    assert finding.status is Status.SKIPPED
    assert "neither this hospital nor the job demands it" in finding.seen
    assert "consilium identity create KIT" in finding.seen


def test_where_nothing_is_set_up_a_demand_fails_with_both_commands(kit, demanding, job, refused):
    finding = check_secure_aggregation(kit, demanding, job)
    refused(finding, "this hospital demands secure aggregation", "consilium identity create KIT")
    refused(finding, "secagg_identity.pem is missing", "consilium identity pin KIT")
    refused(finding, "pins 0 other hospitals", "for 2 more at least")


def test_a_job_with_secure_aggregation_demands_it_of_those_who_train(kit, site, masked, refused):
    refused(
        check_secure_aggregation(kit, site, masked), "job secure has secure aggregation", "identity create"
    )
    refused(
        check_secure_aggregation(kit, None, masked), "job secure has secure aggregation", "identity create"
    )
    evaluating = site.model_copy(update={"role": "evaluates"})
    assert check_secure_aggregation(kit, evaluating, masked).status is Status.SKIPPED


@pytest.mark.parametrize("present", ["identity", "pins"])
def test_half_of_it_warns_and_fails_where_it_is_demanded(
    present, root, kit, pin, site, demanding, job, masked, refused
):
    if present == "identity":
        SiteIdentity.create(root / "local" / IDENTITY_FILE)
        seen, remedy = "pins 0 other hospitals", "consilium identity pin KIT"
    else:
        pin("south", "west")
        seen, remedy = "secagg_identity.pem is missing", "consilium identity create KIT"
    refused(check_secure_aggregation(kit, site, job), seen, remedy, Status.WARNING)
    refused(check_secure_aggregation(kit, None, job), seen, remedy, Status.WARNING)
    refused(check_secure_aggregation(kit, demanding, job), seen, remedy)
    refused(check_secure_aggregation(kit, site, masked), seen, remedy)


def test_an_identity_that_others_can_read_fails_even_if_nobody_demands_it(
    root, kit, identity, pin, site, job, refused
):
    pin("south", "west")
    (root / "local" / IDENTITY_FILE).chmod(0o640)
    finding = check_secure_aggregation(kit, site, job)
    refused(finding, "can be read by other accounts", "chmod 600 local/secagg_identity.pem")
    assert finding.seen.startswith("local/secagg_identity.pem")


def spoil_with_text(path):
    path.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)


def spoil_with_a_folder(path):
    path.mkdir(mode=0o700)


def spoil_with_a_link(path):
    path.symlink_to(path.with_name("moved-away"))


@pytest.mark.parametrize("spoil", [spoil_with_text, spoil_with_a_folder, spoil_with_a_link])
def test_what_is_no_key_is_never_taken_for_nothing_set_up(spoil, root, kit, pin, site, job, refused):
    pin("south", "west")
    spoil(root / "local" / IDENTITY_FILE)
    finding = check_secure_aggregation(kit, site, job)
    refused(finding, "local/secagg_identity.pem", "consilium identity create KIT")
    assert "c2VjcmV0" not in f"{finding.seen}{finding.remedy}{finding.details}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_identity_of_another_account_can_t_be_read(root, kit, identity, site, job, refused):
    (root / "local" / IDENTITY_FILE).chmod(0)
    refused(check_secure_aggregation(kit, site, job), "can't be read", "consilium identity create KIT")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"peers": {"south": "9A:41"}}',
        '{"min_survivors": 2}',
        '{"peer": {}}',
        '{"peers": {"south": "%s", "west": "%s"}}' % (("ab" * 32,) * 2),
    ],
)
@pytest.mark.parametrize("has_identity", [True, False])
def test_a_list_that_can_t_be_used_fails_with_or_without_an_identity(
    content, has_identity, root, kit, site, job, refused
):
    if has_identity:
        SiteIdentity.create(root / "local" / IDENTITY_FILE)
    (root / "local" / PEERS_FILE).write_text(content)
    finding = check_secure_aggregation(kit, site, job)
    refused(finding, "local/secagg_peers.json", "correct local/secagg_peers.json")
    assert str(root) not in f"{finding.seen}{finding.remedy}{finding.details}"


def test_pins_of_the_hospital_itself_are_no_other_hospital(root, kit, identity, pin, demanding, job, refused):
    pin("south", "north")
    refused(check_secure_aggregation(kit, demanding, job), "pins 1 other hospital,", "for 1 more at least")
    PinnedPeers.read(root / "local" / PEERS_FILE).pin("west", identity.fingerprint)
    finding = check_secure_aggregation(kit, demanding, job)
    refused(finding, "has this hospital's own fingerprint for west", "remove west")


def test_settings_that_can_t_be_read_are_not_taken_for_no_demand(kit, job):
    finding = check_secure_aggregation(kit, None, job)
    assert finding.status is Status.SKIPPED
    assert "settings that say whether it has to be can't be used" in finding.seen


def test_the_server_has_none(kits, job):
    assert check_secure_aggregation(Kit(kits / SERVER), None, job).status is Status.SKIPPED


def test_a_site_that_demands_it_is_not_ready_without_it(root, kit, job):
    path = root / "local" / "privacy.json"
    policy = read(path)
    policy["scopes"][0]["properties"]["consilium"]["privacy"] = {"secure_aggregation": True}
    write(path, policy)
    readiness = check_site(kit, replace(job, promise=PrivacyPromise(secure_aggregation=True)), offline=True)
    failed = [one.id for one in readiness.findings if one.status is Status.FAILED]
    assert failed == ["policy.secure_aggregation"]
    assert not readiness.ready
