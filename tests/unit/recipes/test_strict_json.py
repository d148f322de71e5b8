import json

import pytest
from federation.job_files import JOBS
from hypothesis import given
from hypothesis import strategies as st

from consilium.errors import ConfigurationError
from consilium.recipes.strict_json import parse_json


@pytest.mark.parametrize("path", [path for job in JOBS for path in job.rglob("*.json")], ids=str)
def test_every_job_s_files_are_read(path):
    assert parse_json(path.read_bytes()) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1, "a": 1}', 'key "a" occurs twice'),
        (b'{"x": {"a": 1, "\\u0061": 2}}', 'key "a" occurs twice'),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[1e999]", "1e999 is not a number"),
        (b"[" + b"9" * 1_000_000 + b"]", "a number has 1000000 digits"),
        (b"[0." + b"3" * 1_000_000 + b"]", "is not a number"),
        (b"[" * 100_000, "nested more than 16 levels"),
        (b"[" * 17 + b"]" * 17, "nested more than 16 levels"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested more than 16 levels"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"// x\n{}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "byte 0 is not ASCII"),
        ('{"a": "é"}'.encode(), "byte 7 is not ASCII"),
        ("{}".encode("utf-16"), "byte 0 is not ASCII"),
    ],
)  # fmt: skip
def test_what_two_readers_could_read_differently_is_rejected(content, said):
    with pytest.raises(ConfigurationError, match=said.replace("(", r"\(")):
        parse_json(content)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_python_reads_them_or_rejected(content):
    try:
        value = parse_json(content)
    except ConfigurationError:
        return
    assert value == json.loads(content)
