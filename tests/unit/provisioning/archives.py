"""Commands on archives of kits, and what a folder holds."""

import stat

from typer.testing import CliRunner

from consilium.cli.main import app

from .provisioned import PROJECT

RUNTIMES = PROJECT.parent / "runtime"
LINK, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600


def run(*words, **options):
    return CliRunner().invoke(app, ["kits", *map(str, words)], **options)


def tree(folder):
    return {
        str(path.relative_to(folder)): (
            oct(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }
