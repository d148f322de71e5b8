"""Scripts of a bundle: the very modules that Consilium runs, with other names in their imports."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_TASK: Final = "consilium.tasks.segmentation"

SHIPPED: Final = {
    f"{_TASK}.bundle.transforms": "transforms",
    f"{_TASK}.bundle.cases": "cases",
    f"{_TASK}.bundle.problems": "problems",
    f"{_TASK}.preparation.foreground": "foreground",
    f"{_TASK}.preparation.intensities": "intensities",
    f"{_TASK}.nifti.writing": "nifti_writing",
    f"{_TASK}.preparation.normalization": "normalization",
    f"{_TASK}.orientation": "orientation",
    f"{_TASK}.resampling": "resampling",
    f"{_TASK}.windows": "windows",
}
"""Modules to their names in `scripts/`; they import nothing else of Consilium but what `_REPLACED` names."""

_REPLACED: Final = {
    "consilium.counts": "problems",
    "consilium.data.file_content": "problems",
    "consilium.data.problem_code": "problems",
    f"{_TASK}.codes": "problems",
}
"""Modules to what takes their place: a bundle has no findings, and raises errors."""

_IMPORT: Final = re.compile(r"^(\s*from )(consilium[\w.]*)( import )", re.MULTILINE)
_NOTE: Final = "# Written by Consilium, from {}; Apache-2.0.\n"


def read_scripts() -> dict[str, str]:
    """Return the files of `scripts/`: name to source.

    Raises:
        KeyError: A module imports one of Consilium that a bundle doesn't have.
    """
    names = {**SHIPPED, **_REPLACED}
    files = {"__init__.py": '"""Preparation and inference of this bundle."""\n'}
    for module, name in SHIPPED.items():
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise KeyError(module)
        source = Path(spec.origin).read_text(encoding="utf-8")
        moved = _IMPORT.sub(lambda found: f"{found[1]}scripts.{names[found[2]]}{found[3]}", source)
        files[f"{name}.py"] = _NOTE.format(module) + moved
    return files
