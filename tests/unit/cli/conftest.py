import sys

import pytest
from data.hospital import Hospital

from consilium.cli.main import main


@pytest.fixture
def type_words(monkeypatch, capsys):
    """Type a command; returns exit code, standard output and standard error."""

    def type_words(*words, columns=200):
        monkeypatch.setattr(sys, "argv", ["consilium", *map(str, words)])
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return type_words


@pytest.fixture
def run(type_words):
    """Type a command that ends without a traceback; returns exit code, standard output and standard error."""

    def run(*words, columns=200):
        code, out, err = type_words(*words, columns=columns)
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def check(type_words, tmp_path):
    """Type `consilium check ...`; returns exit code, standard output and standard error."""

    def check(*words):
        return type_words("check", *words, "--state", tmp_path / "state", "--workers", "1")

    return check


@pytest.fixture
def hospital(tmp_path):
    hospital = Hospital(tmp_path / "data")
    for name in ("mueller-1950", "rossi-1961"):
        hospital.brats(name)
    return hospital
