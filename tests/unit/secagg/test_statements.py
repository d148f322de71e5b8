from hypothesis import given
from hypothesis import strategies as st

from consilium.secagg.statements import PROTOCOL, digest_statement, encode_statement

PARTS = st.lists(st.binary(max_size=9) | st.text(max_size=9) | st.integers(), max_size=4)


@given(st.text(max_size=5), PARTS, st.text(max_size=5), PARTS)
def test_different_statements_have_different_bytes(purpose, parts, other_purpose, other_parts):
    one, other = (purpose, *parts), (other_purpose, *other_parts)
    same = [(type(part), part) for part in one] == [(type(part), part) for part in other]
    assert (encode_statement(*one) == encode_statement(*other)) == same


def test_parts_are_not_run_together():
    texts = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), (b"ab", "c"), ("1",), (1,), (b"1",)]
    assert len({digest_statement("purpose", *parts) for parts in texts}) == len(texts)
    assert PROTOCOL.encode() in encode_statement("purpose")
