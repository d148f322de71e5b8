"""The jobs of the repository, as files."""

from pathlib import Path

JOBS = sorted(path.parent for path in Path(__file__).parents[3].glob("jobs/*/meta.json"))


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files below a folder by their names in it."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
