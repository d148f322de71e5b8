import uuid

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.job_def import is_valid_job_id, new_job_id
from nvflare.apis.utils.format_check import name_check

from consilium.errors import ConfigurationError
from consilium.federation.safe_names import check_site_names, is_job_id, is_site_name, site_name_fault


def test_what_flare_gives_a_job_is_an_id():
    assert all(is_job_id(new_job_id()) for _ in range(100))


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "local", "startup", "simulate_job", "/etc", " 9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00",
     "9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00\n", "9F2E0C4E-58A5-4D7B-9A0E-4D1F3C2B1A00",
     "9f2e0c4e58a54d7b9a0e4d1f3c2b1a00", "-9f2e0c4e58a54d7b9a0e4d1f3c2b1a00",
     "{9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00}", "urn:uuid:9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00",
     "9f2e0c4e-58a5-1d7b-9a0e-4d1f3c2b1a00", "9f2e0c4e-58a5-4d7b-7a0e-4d1f3c2b1a00",
     "9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a0\uff10", None, 1, b"9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00",
     uuid.UUID("9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00"), ["9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00"]],
)  # fmt: skip
def test_nothing_else_is_one(value):
    assert not is_job_id(value)


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-f-]{36}", fullmatch=True))
def test_an_id_is_one_for_flare_too_and_no_path(text):
    if is_job_id(text):
        assert is_valid_job_id(text)
        assert str(uuid.UUID(text)) == text


SERVER = "flare.consortium.example"
UNFIT = {
    "1": "a number", "1.5": "a number", "yes": "truth values", "off": "truth values", "2024-01-01": "a date",
    "null": "missing", "''": "missing", "[a]": "a list", "{a: b}": "a list", "a b": "letters from A to Z",
    "a/b": "letters from A to Z", "../x": "letters from A to Z", "a.b": "letters from A to Z",
    "münchen": "letters from A to Z", '"a\\n"': "letters from A to Z", f'"{"a" * 65}"': "65 characters",
    "server": "console", "Server": "console", "client": "console", "ALL": "console",
    "'-rf'": "an option", "_admin_9f2e0c4e-58a5-4d7b-9a0e-4d1f3c2b1a00": "consoles of users",
    SERVER: "letters from A to Z",
}  # fmt: skip
"""As somebody writes it in a project file -> what the message says."""


@pytest.mark.parametrize(("written", "said"), UNFIT.items(), ids=str)
def test_a_name_that_is_none_is_rejected_with_words(written, said):
    name = yaml.safe_load(written)
    with pytest.raises(ConfigurationError, match=r"project\.yml: .* can't be a site's name") as caught:
        check_site_names([name], where="project.yml")
    assert said in str(caught.value)


@pytest.mark.parametrize("names", [["north", "north"], ["north", "North"], ["a", "Relay"]])
def test_names_that_are_too_much_alike_are_rejected(names):
    with pytest.raises(ConfigurationError, match=r"given twice|but for the case of letters"):
        check_site_names(names, others=[SERVER, "relay"])


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_what_has_no_fault_is_a_name_for_flare_and_for_a_certificate(text):
    if site_name_fault(text) is None:
        assert is_site_name(text)
        assert not name_check(text, "client")[0]
        assert len(text) <= 64
        check_site_names([text], others=[SERVER])
