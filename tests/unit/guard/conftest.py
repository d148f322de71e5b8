import pytest
from nvflare.fuel.sec.audit import AuditService

from consilium.provisioning.policy import allowed_classes


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
