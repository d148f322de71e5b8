"""Read a page as a person would: its text, once it is clear that every element is closed."""

import re
from html.parser import HTMLParser

_VOID = {"meta", "img", "source", "link", "br"}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read_text(html: str) -> str:
    """Return a page's text with single spaces; an element that is not closed fails the test."""
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []
    return re.sub(r"\s+", " ", " ".join(tags.text))
