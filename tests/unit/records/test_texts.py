"""Whatever a text holds, what is left of it is one line that commands no terminal."""

import pytest
from anything import ANYTHING, NASTY_TEXTS, TEXTS
from hypothesis import given
from hypothesis import strategies as st

from consilium.records.texts import clean_line, clean_lines, clean_text, printable


@given(ANYTHING, st.integers(2, 500))
def test_what_is_cleaned_is_one_short_printable_line(text, longest):
    cleaned = clean_text(text, longest)
    assert cleaned.isprintable()
    assert len(cleaned) <= longest
    assert "  " not in cleaned
    assert clean_text(cleaned, longest) == cleaned


@given(st.text(st.characters(whitelist_categories=["Lu", "Ll", "Nd", "Po"]), max_size=100))
def test_what_is_harmless_stays(text):
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[2Jgone", "[2Jgone"),
        ("a\nb\tc\u2028d\x85e\xa0f", "a b c d e f"),
        ("\u202eabc\u2069", "abc"),
        ("e\u0301\u0301\u0301\u0301", "e\u0301\u0301"),
        (7, "int"),
        (None, "NoneType"),
    ],
)
def test_what_becomes_of_a_text(text, left):
    assert clean_text(text) == left


def test_nothing_is_read_of_a_text_that_never_ends():
    class Endless(str):
        def __getitem__(self, place):
            assert place.stop <= 4000
            return super().__getitem__(place)

    assert clean_text(Endless("\x00" * 10**6), 400) == ""


def test_a_line_keeps_its_indent_and_no_more_of_it():
    assert clean_line("  a\nb") == "  a b"
    assert clean_line(" " * 500 + "x") == " " * 8 + "x"


@given(st.lists(TEXTS, max_size=5))
def test_an_error_of_several_lines_stays_one(lines):
    text = clean_lines("\n".join(lines))
    assert all(one == "\n" or one.isprintable() for one in text)
    assert text.count("\n") == "\n".join(lines).count("\n")


def test_an_endless_error_is_cut():
    assert clean_lines("x\n" * 1000, most_lines=3).splitlines() == ["x", "x", "x", "(998 more lines)"]


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_what_is_printable_is_all_that_is_printed(text):
    assert all(one == "\n" or one.isprintable() for one in printable(text))
