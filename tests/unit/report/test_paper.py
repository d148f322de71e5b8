"""Sheets of A4: what doesn't fit is on the next one, and no text is lost."""

import pytest

from consilium.report.paper import Paper, TextStyle

STYLE = TextStyle(8)


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn: the text, and its place from 0 at the bottom to 1."""
    drawn = []
    monkeypatch.setattr(
        "matplotlib.figure.Figure.text", lambda self, x, y, text, **style: drawn.append((text, x, y))
    )
    return drawn


def test_a_long_table_has_its_head_on_every_sheet_and_all_of_its_rows(drawn):
    paper = Paper(turns=True)
    rows = [(f"row {number}", "some words " * 12) for number in range(60)]
    paper.table(("First", "Second"), rows, (0.3, 0.7), heading=STYLE, cell=STYLE)
    assert paper.pages > 1
    texts = [text for text, _, _ in drawn]
    assert texts.count("Second") == paper.pages
    assert [text for text in texts if text.startswith("row ")] == [first for first, _ in rows]
    assert min(y for _, _, y in drawn) > 0.04


def test_one_sheet_says_that_it_is_full():
    paper = Paper(draws=False)
    paper.write("word", STYLE)
    assert paper.fits
    for _ in range(90):
        paper.write("word", STYLE)
    assert not paper.fits
    assert paper.pages == 1


def test_a_word_longer_than_a_column_is_cut_and_loses_nothing(drawn):
    paper = Paper(turns=True)
    word = "abcdefghij" * 20
    paper.table(("A", "B"), [("x", word)], (0.5, 0.5), heading=STYLE, cell=STYLE)
    parts = [text for text, x, _ in drawn if x > 0.4 and text != "B"]
    assert len(parts) > 2
    assert "".join(parts) == word


def test_a_bullet_is_beside_the_first_line_only(drawn):
    paper = Paper(turns=True)
    paper.write("several words " * 40, STYLE, bullet=True)
    bullets = [y for text, _, y in drawn if text == "\N{BULLET}"]
    lines = [(x, y) for text, x, y in drawn if text != "\N{BULLET}"]
    assert bullets == [max(y for _, y in lines)]
    assert len({x for x, _ in lines}) == 1
