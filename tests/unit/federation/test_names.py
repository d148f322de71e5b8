import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nvflare.apis.job_def import is_valid_job_id, new_job_id

from consilium.federation.names import is_job_id


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
