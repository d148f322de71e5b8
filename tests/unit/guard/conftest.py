import pytest
from nvflare.fuel.sec.audit import AuditService
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.security.security import FLAuthorizer

from consilium.provisioning.policy import allowed_classes, authorization_policy

from .kit import LEAD, new_authority, new_user


@pytest.fixture
def allow_list(monkeypatch):
    """A process of a site whose class_allow_list is the provisioned one."""
    policy = {"class_allow_list": [*allowed_classes("server"), *allowed_classes("client")]}
    monkeypatch.setattr("nvflare.fuel.utils.config_service.ConfigService.get_section", lambda name: policy)


@pytest.fixture
def audited(monkeypatch):
    """What goes to the audit log, entry by entry."""
    events = []
    monkeypatch.setattr(AuditService, "add_event", lambda **event: events.append(event))
    return events


@pytest.fixture(scope="module")
def root():
    return new_authority()


@pytest.fixture
def root_file(root, tmp_path):
    path = tmp_path / "rootCA.pem"
    path.write_bytes(root.certificate)
    return path


@pytest.fixture(scope="module")
def lead(root, tmp_path_factory):
    return new_user(tmp_path_factory.mktemp("lead"), root, LEAD, "lead")


@pytest.fixture
def policy(monkeypatch):
    authorizer = FLAuthorizer("north_hospital", authorization_policy("client"))
    monkeypatch.setattr(AuthorizationService, "the_authorizer", authorizer)
