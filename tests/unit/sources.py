"""The package's source, parsed once for all tests that read it."""

import ast
from functools import cache
from pathlib import Path

import consilium

PACKAGE = Path(consilium.__file__).parent


@cache
def modules() -> tuple[Path, ...]:
    """Every module's file."""
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a module's syntax tree; nobody changes them."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def place_of(path: Path) -> str:
    """A module's file below the package's folder."""
    return path.relative_to(PACKAGE).as_posix()
