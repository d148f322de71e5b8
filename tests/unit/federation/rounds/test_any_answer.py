"""One site sends anything at every place of its answers: the others never notice, and it is excluded."""

from anything import ANYTHING, ARRAYS, NUMBERS, TEXTS
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from consilium.federation.message_names import LOCAL_ONLY, PREPARE, TRAIN, VALIDATE

from .lies import PLACES, check


@settings(max_examples=examples(16))
@given(place=st.sampled_from([*PLACES, "the whole answer"]), value=ANYTHING | NUMBERS | TEXTS | ARRAYS)
def test_whatever_a_site_answers_costs_nobody_else_anything(tmp_path_factory, place, value):
    _, outcomes = check(tmp_path_factory.getbasetemp() / "anything", place, value)
    if outcomes[:3] == ["refused"] * 3 and place not in ("the reason", "the return code"):
        assert outcomes[3] == "excluded"  # what a site declines itself isn't counted


@settings(max_examples=examples(6))
@given(place=st.sampled_from(list(PLACES)), value=ANYTHING | NUMBERS | TEXTS)
def test_whatever_a_site_answers_from_the_start(tmp_path_factory, place, value):
    check(tmp_path_factory.getbasetemp() / "anything", place, value, (PREPARE, TRAIN, VALIDATE))


@settings(max_examples=examples(12))
@given(place=st.sampled_from(list(PLACES)), value=ANYTHING | NUMBERS | TEXTS)
def test_whatever_a_site_says_of_its_own_model(tmp_path_factory, place, value):
    record, _ = check(tmp_path_factory.getbasetemp() / "anything", place, value, (LOCAL_ONLY,))
    assert record.local_only["liar"].outcome in ("evaluated", "refused")
