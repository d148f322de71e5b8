import json

import pytest

from consilium.poc.command import FlareCommand, PocError, answer

WORDS = ("job", "list")


def test_the_answer_is_the_last_line_of_json():
    assert answer(WORDS, 'warming up\n{"status": "ok", "data": [1]}\n') == [1]


def test_a_failure_hands_on_what_flare_says():
    output = json.dumps(
        {"status": "error", "message": "No server.", "detail": "refused", "hint": "Start it."}
    )
    with pytest.raises(PocError, match=r"nvflare job list failed: No server.\n  refused\n  Start it."):
        answer(WORDS, output)


@pytest.mark.parametrize("output", ["", "Traceback", "{broken"])
def test_no_answer_is_an_error(output):
    with pytest.raises(PocError, match="without an answer"):
        answer(WORDS, output)


def test_commands_see_no_setting_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("NVFLARE_POC_WORKSPACE", "/elsewhere")
    environment = FlareCommand(tmp_path / "flare", tmp_path / "home").environment()
    assert environment["HOME"] == str(tmp_path / "home")
    assert environment["NVFLARE_POC_WORKSPACE"] == str(tmp_path / "flare")
