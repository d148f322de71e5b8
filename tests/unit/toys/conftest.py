import json
import re
import sys

import pytest
from report.html import read_text

from consilium.cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; returns its exit code and what it printed."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["consilium", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().out

    return run


@pytest.fixture
def page_text():
    """The text of a page, without its styles."""

    def page_text(page):
        return read_text(re.sub(r"(?s)<style>.*?</style>", "", page.read_text(encoding="utf-8")))

    return page_text


@pytest.fixture
def check(run, page_text, tmp_path, request):
    """Check a folder for the module's `JOB`; returns the exit code, findings as JSON, the page's text."""

    def check(folder):
        page = tmp_path / "check.html"
        options = ("--job", request.module.JOB, "--state", tmp_path / "state", "--workers", 1)
        code, out = run("check", folder, *options, "--json", "--html", page)
        return code, json.loads(out), page_text(page)

    return check
