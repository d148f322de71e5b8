"""What a federation is installed from: the wheel, its version, and the release script."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "custom/consilium"
VERSION = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)
ENVIRONMENT = {**os.environ, "PYTHON": sys.executable}


def build(folder, **variables):
    done = subprocess.run(
        [ROOT / "provision/wheel.sh", folder, "--no-isolation"],
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    if importlib.util.find_spec("build") is None:
        pytest.skip("the package `build` is not installed; make install")
    return build(tmp_path_factory.mktemp("wheel"), SOURCE_DATE_EPOCH="1700000000")


@pytest.mark.long
def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    assert wheel.name == f"consilium-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as file:
        packed = {name: file.read(name) for name in file.namelist() if ".dist-info/" not in name}
    files = {
        f"consilium/{path.relative_to(PACKAGE)}": path.read_bytes()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sorted(packed) == sorted(files)
    assert packed == files
    assert {Path(name).suffix for name in packed} >= {".py", ".j2", ".css", ".typed"}


@pytest.mark.long
def test_the_same_files_give_the_same_wheel_whatever_the_umask(wheel, tmp_path):
    before = os.umask(0o077)
    try:
        again = build(tmp_path, SOURCE_DATE_EPOCH="1700000000")
    finally:
        os.umask(before)
    assert again.read_bytes() == wheel.read_bytes()


def test_the_version_stands_in_one_place_and_at_the_image():
    tags = {
        tag
        for path in (ROOT / "provision").rglob("*")
        if path.is_file()
        for tag in re.findall(r"consilium-site:(\d[\w.]*)", path.read_text())
    }
    assert tags == {VERSION}
    named = re.compile(r"consilium-\d[\w.]*-py3")
    folders = [(ROOT / "docs").glob("*.md"), (ROOT / "provision").rglob("*"), ROOT.glob("[MR]*")]
    pages = [path for paths in folders for path in paths if path.is_file()]
    assert [path.name for path in pages if named.search(path.read_text())] == []


def test_the_changelog_has_its_form():
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title) for title in titles[1:])
    kinds = re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Known limits"}


@pytest.fixture
def checkout(tmp_path):
    """The least that the release script looks at before it builds anything, all committed."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "provision", folder / "provision")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / ".gitignore", folder)
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{VERSION}] - 2026-11-26\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        git(folder, *words)
    return folder


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True)


def uncommitted(folder):
    (folder / "new.txt").touch()


def without_entry(folder):
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## [Unreleased]\n\nsoon [{VERSION}]\n")
    git(folder, "commit", "-qam", "later")


def tagged(folder):
    git(folder, "tag", f"v{VERSION}")


def there_already(folder):
    (folder / f"dist/consilium-{VERSION}").mkdir(parents=True)


def another_image(folder):
    page = folder / "provision/runtime/docker.yaml"
    page.write_text(page.read_text().replace(VERSION, "9.9.9"))
    git(folder, "commit", "-qam", "image")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (uncommitted, "commit them"),
        (without_entry, "CHANGELOG.md has no entry"),
        (tagged, f"tag v{VERSION} exists"),
        (there_already, "is not replaced"),
        (another_image, "names the image"),
    ],
)
def test_a_release_that_would_not_be_one_is_rejected_before_anything_is_built(checkout, spoil, reason):
    spoil(checkout)
    before = sorted(checkout.rglob("*"))
    done = subprocess.run(
        [checkout / "provision/release.sh"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert reason in done.stderr
    assert [path for path in sorted(checkout.rglob("*")) if ".git" not in path.parts] == [
        path for path in before if ".git" not in path.parts
    ]


PYTHON_WITHOUT_MKDOCS = f"""#!/bin/sh
if [ "$2" = mkdocs ]; then mkdir -p "$6" && touch "$6/index.html"; else exec {sys.executable} "$@"; fi
"""
"""Replaces the environment: building the site takes minutes on a busy machine."""


def test_a_release_holds_what_people_without_a_checkout_are_told_to_use(checkout, tmp_path):
    """A hospital gets the release and its kit, and no more."""
    (checkout / "provision/wheel.sh").write_text('#!/bin/sh\nmkdir -p "$1" && touch "$1/consilium-x.whl"\n')
    (checkout / "provision/smoke.sh").write_text("#!/bin/sh\n")
    for name in ("constraints.txt", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    git(checkout, "add", "-A")
    git(checkout, "commit", "-qm", "quick")
    python = tmp_path / "python"
    python.write_text(PYTHON_WITHOUT_MKDOCS)
    python.chmod(0o755)
    script = [checkout / "provision/release.sh"]
    subprocess.run(script, env={**ENVIRONMENT, "PYTHON": str(python)}, capture_output=True, check=True)
    release = checkout / f"dist/consilium-{VERSION}"
    assert {"consilium-x.whl", "constraints.txt", "SHA256SUMS", "docs/index.html", "image/build.sh"} <= {
        path.relative_to(release).as_posix() for path in release.rglob("*")
    }
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release, check=True)
    named = {
        path.rstrip(".")
        for page in ("hospital-it", "provisioning", "server", "slurm", "kubernetes")
        for path in re.findall(r"(?<![\w/])provision/[\w./-]+\.\w+", (ROOT / f"docs/{page}.md").read_text())
    }
    assert {"provision/hospital.yml", "provision/runtime/slurm.yaml"} <= named
    in_a_checkout_only = {"provision/image/build.sh"}  # image/build.sh of a release
    assert sorted(one for one in named - in_a_checkout_only if not (release / one).exists()) == []


def test_a_release_that_fails_leaves_nothing(checkout):
    (checkout / "provision/wheel.sh").write_text("#!/bin/sh\nexit 3\n")
    git(checkout, "commit", "-qam", "broken")
    done = subprocess.run(
        [checkout / "provision/release.sh"], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "could not be built" in done.stderr
    assert list((checkout / "dist").iterdir()) == []
