"""The console obeys no text, wherever in what it prints the text stands."""

import pytest
from anything import NASTY_TEXTS, shows_no_control
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from consilium.report.terminal import Terminal, folding_table


def shown(renderable):
    console = Terminal(width=6000, force_terminal=False)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


def table(text):
    made = Table(title=Text(text))
    made.add_column(Text(text))
    made.add_row(Text(text))
    return made


@pytest.mark.quick_cases(19)
@pytest.mark.parametrize("text", NASTY_TEXTS)
@pytest.mark.parametrize(
    "dress", [str, Text, table, lambda text: Group(Text(text), table(text)), lambda text: Panel(Text(text))]
)
def test_nothing_but_printable_characters_is_sent(dress, text):
    assert shows_no_control(shown(dress(text)))


@pytest.mark.parametrize("text", ["[bold red]x[/]", ":smile:", "[link=file:///etc/passwd]y[/link]", "12 'a'"])
def test_a_text_is_no_markup(text):
    assert shown(text) == f"{text}\n"
    console = Terminal(width=100, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(text)
    assert captured.get() == f"{text}\n"  # not even a number or a quotation is colored


def test_colors_of_our_own_stay():
    console = Terminal(width=100, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(Text("ok\x1b[2J", style="green"))
    assert captured.get() == "\x1b[32mok[2J\x1b[0m\n"


def test_a_table_breaks_lines_and_loses_nothing():
    console = Terminal(width=30, force_terminal=False)
    table = folding_table(("site", "reason"), unbroken=("site",))
    table.add_row("northern_hospital", "too_long_a_word_for_one_line")
    with console.capture() as captured:
        console.print(table)
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= 30
    site, *parts = " ".join(lines).split("reason")[1].split()[1:]
    assert site == "northern_hospital"
    assert "".join(parts) == "too_long_a_word_for_one_line"
