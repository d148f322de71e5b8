"""Commands that pages and scripts name can be typed: scripts, subcommands, options and make targets exist."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from consilium.cli.main import app

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "benchmarks", "jobs", "poc", "provision", "examples")
PAGES = sorted([*ROOT.glob("*.md"), *(page for one in FOLDERS for page in (ROOT / one).rglob("*.md"))])
SCRIPTS = sorted(path for folder in ("benchmarks", "tools") for path in (ROOT / folder).rglob("*.py"))
TEXTS = [*PAGES, *SCRIPTS]
PROGRAM = typer.main.get_command(app)

CODE = re.compile(
    r"```[^\n]*\n(?P<block>.*?)```|`(?P<span>[^`]+)`|^ {4}(?P<indented>\S(?:\\\n|[^\n])*)", re.M | re.S
)
PYTHON = re.compile(r"\bpython (?P<script>(?:benchmarks|tools)/\S+\.py)(?P<words>.*)")
# A purpose in a key derivation of secure aggregation begins with the package's name as well.
CONSILIUM = re.compile(r"^\s*(?:\S+/)?consilium (?!secagg \d)(?P<words>[a-z].*)")
MAKE = re.compile(r"^\s*(?:time )?make (?P<target>[a-z][a-z-]*)")
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")
WRITTEN = re.compile(
    r"^(?:\$ )?(?:consilium|nvflare)\b.*\s(?:--(?:to|out|output|html|write-[a-z]+)|-o|-w|cohort)\s+"
    r"(?P<path>[a-z][\w./-]*)"
)


def lines(text: str) -> Iterator[str]:
    """Yield the lines of code in a text, with continued lines joined and what follows in a pipe apart."""
    for found in CODE.finditer(text):
        (code,) = [one for one in found.groups() if one is not None]
        joined = re.sub(r"\\\n\s*", " ", code)
        if found["span"]:
            joined = re.sub(r"\s+", " ", joined)
        for line in joined.splitlines():
            yield from re.split(r"\s(?:\||&&|;|#|>)\s?", line)


def options_of_script(script: Path) -> set[str]:
    """Return the options that a script adds to its parser."""
    found = {"--help"}
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            *("add_argument", "add", "option"),
        ):
            texts = [one.value for one in node.args if isinstance(one, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str) and text.startswith("-")}
    return found


def faults_of_python(line: str) -> Iterator[str]:
    """Yield what is wrong with the call of a script in a line."""
    for call in PYTHON.finditer(line):
        script = ROOT / call["script"]
        if not script.is_file():
            yield f"{call['script']} does not exist"
            continue
        known = options_of_script(script)
        yield from (f"{call['script']} {one}" for one in OPTION.findall(call["words"]) if one not in known)


def faults_of_consilium(line: str) -> Iterator[str]:
    """Yield what is wrong with a command of this package in a line."""
    for call in CONSILIUM.finditer(line):
        words = call["words"].split()
        command, name = PROGRAM, "consilium"
        while words and hasattr(command, "commands") and re.fullmatch(r"[a-z-]+", words[0]):
            name += f" {words[0]}"
            found = command.commands.get(words.pop(0))
            if found is None:
                yield f"{name} is no command"
                return
            command = found
        known = {"--help"} | {text for one in command.params for text in (*one.opts, *one.secondary_opts)}
        yield from (f"{name} {one}" for one in OPTION.findall(" ".join(words)) if one not in known)


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))


def faults(text: str) -> list[str]:
    """Return what can't be typed as a text says."""
    found = []
    for line in lines(text):
        found += [*faults_of_python(line), *faults_of_consilium(line)]
        found += [f"make {one}" for one in MAKE.findall(line) if one not in targets()]
    return found


def text_of(path: Path) -> str:
    """Return a page, or the docstring of a script."""
    text = path.read_text()
    return text if path.suffix == ".md" else ast.get_docstring(ast.parse(text)) or ""


@pytest.mark.parametrize("path", TEXTS, ids=[str(path.relative_to(ROOT)) for path in TEXTS])
def test_commands_of_a_page_or_script_exist(path: Path) -> None:
    assert faults(text_of(path)) == []


OWN_PAGES = {
    "bundle": "bundle.md",
    "check": "data.md",
    "evaluate": "evaluate.md",
    "predict": "predict.md",
    "privacy": "privacy.md",
    "train": "train.md",
}
"""Commands with a page that describes them, beside their help."""


@pytest.mark.parametrize("name", OWN_PAGES)
def test_the_page_of_a_command_names_each_of_its_options(name: str) -> None:
    page = (ROOT / "docs" / OWN_PAGES[name]).read_text()
    options = [one.opts for one in PROGRAM.commands[name].params if one.opts[0].startswith("-")]
    assert [
        one for one in options if not any(re.search(rf"(?<![\w-]){text}(?![\w-])", page) for text in one)
    ] == []


def test_nothing_says_to_install_this_package_by_its_name() -> None:
    """On PyPI, `consilium` is another project: where ours isn't installed, pip would install that one."""
    by_name = re.compile(r"pip3? install[^\n`]*?(?<![\w./-])consilium(?![-\w./])|\bconsilium\[[a-z]")
    places = ("custom", "docs", "provision", "poc", "examples", "jobs", "tests", "benchmarks")
    kinds = (".py", ".md", ".yml", ".yaml", ".sh", ".j2", ".ipynb", "")
    files = [*ROOT.glob("*.md"), *(one for place in places for one in (ROOT / place).rglob("*"))]
    made = [one for one in files if ".egg-info" in str(one)]  # by an installation
    files = [one for one in files if one not in made]
    texts = (one for one in files if one.is_file() and one.suffix in kinds and one != Path(__file__))
    found = {str(one.relative_to(ROOT)) for one in texts if by_name.search(one.read_text(errors="replace"))}
    assert found == set()


def helps(command: object = PROGRAM) -> Iterator[str]:
    """Yield the examples below the help of each command."""
    yield f"```\n{getattr(command, 'epilog', None) or ''}\n```"
    for one in getattr(command, "commands", {}).values():
        yield from helps(one)


def test_what_a_documented_command_writes_in_a_checkout_is_not_committed_by_mistake() -> None:
    """Keys of a federation, patients' ids and results would else be one `git add` away from a repository."""
    texts = [*map(text_of, TEXTS), *helps()]
    found = (WRITTEN.match(line.strip()) for text in texts for line in lines(text))
    paths = sorted({one["path"] for one in found if one} - {"jobs"})  # the repository's own
    assert {"handover", "try/kits", "predictions", "patients.csv", "runs/first", "data/demo"} <= set(paths)
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    words = ["git", "check-ignore", "--no-index", *paths, *(f"{path}/any" for path in paths)]
    ignored = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert [path for path in paths if not {path, f"{path}/any"} & set(ignored)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`python benchmarks/nothing.py`", ["benchmarks/nothing.py does not exist"]),
        ("`python benchmarks/predict.py runs/x --twice`", ["benchmarks/predict.py --twice"]),
        ("    python benchmarks/nnunet.py --out x \\\n        --never 3\n", ["benchmarks/nnunet.py --never"]),
        ("```sh\nconsilium predict -m x --colour | sort --key\n```", ["consilium predict --colour"]),
        ("`consilium jobs imports`", ["consilium jobs imports is no command"]),
        ("`make tea`", ["make tea"]),
        ("`consilium predict -m MODEL -i CASE -o OUT` and `make demo`, but we make tea", []),
    ],
)
def test_what_does_not_exist_is_found(text: str, expected: list[str]) -> None:
    assert faults(text) == expected
