"""Lines of the command line hold what others wrote, and stay lines."""

import json

import pytest
from anything import NASTY_TEXTS, shows_no_control

from consilium.cli.terminal import say, say_error, say_json, say_result


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_a_line_stays_one(capsys, text):
    say(f"  {text}")
    say(text, err=True, color="red")
    out, err = capsys.readouterr()
    assert out.count("\n") == err.count("\n") == 1
    assert shows_no_control(out + err)
    assert len(out) <= 2010


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_errors_and_results_are_printable(capsys, text):
    say_error(f"error: {text}")
    say_result(text)
    out, err = capsys.readouterr()
    assert shows_no_control(out + err)
    assert out.count("\n") == 1


def test_a_path_is_printed_as_it_is(capsys):
    path = "/data/a  b/" + "x" * 5000
    say_result(path)
    assert capsys.readouterr().out == f"{path}\n"


@pytest.mark.parametrize("text", [text for text in NASTY_TEXTS if not text.startswith("\ud800")])
def test_json_is_ascii_and_can_be_read_back(capsys, text):
    say_json({text: text})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {text: text}
