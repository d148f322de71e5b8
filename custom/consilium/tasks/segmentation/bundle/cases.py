"""Cases of a folder for a bundle: files that are distinguished by the endings of their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def find_cases(
    folder: str | Path, endings: Mapping[str, Sequence[str]], label: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Find the cases below a folder: files of one name up to the ending, all of them in one folder.

    Args:
        folder: It is only read.
        endings: Each image and the endings by which it is known, in the network's order; see `case_name`.
        label: Endings of label maps; where there are any, cases without one are left out.

    Returns:
        For each case its images' paths, `image`, and the path of its label map, `label`, where one is asked
        for.

    Raises:
        ValueError: There is none, a case lacks an image, or two have one name.
    """
    known = {word: name for name, words in endings.items() for word in words}
    known |= dict.fromkeys(label, "")
    cases: dict[tuple[Path, str], dict[str, str]] = {}
    for path in sorted(Path(folder).rglob("*.nii*")):
        word = ending_of(path, known)
        if word is not None:
            key = (path.parent, case_name(path, [word]))
            cases.setdefault(key, {}).setdefault(known[word], str(path))
    found: dict[str, dict[str, Any]] = {}
    for (place, name), files in cases.items():
        missing = [image for image in endings if image not in files]
        if len(missing) == len(endings) or (label and "" not in files):
            continue
        if missing:
            raise ValueError(f"{place}: case {name} has no {', '.join(missing)}")
        if name in found:
            raise ValueError(f"two cases are named {name}; give each folder of cases a run of its own")
        images = [files[image] for image in endings]
        found[name] = {"image": images, **({"label": files[""]} if label else {})}
    if not found:
        wanted = ", ".join(f"*_{words[0]}.nii.gz" for words in endings.values())
        raise ValueError(f"{folder} holds no case: files are looked for as {wanted}")
    return list(found.values())


def case_name(path: Path, words: Sequence[str]) -> str:
    """Return what a file's name says before its ending; the folder's name where that is nothing.

    Words of an ending are joined by `_` here; in a file name `-` and `.` do as well, and case does not
    matter.

    Example:
        >>> case_name(Path("in/P-1_CT.nii.gz"), ["ct"]), case_name(Path("in/P2/ct.nii"), ["ct"])
        ('P-1', 'P2')
    """
    word = ending_of(path, words)
    stem = _stem(path)
    before = stem if word is None else stem[: len(stem) - len(word)].rstrip("_-. ")
    return before or path.parent.name


def ending_of(path: Path, words: Sequence[str] | Mapping[str, str]) -> str | None:
    """Return the longest of some endings that a file's name has; None where it has none of them."""
    plain = re.sub(r"[-.]", "_", _stem(path).lower())
    matching = [word for word in words if plain == word or plain.endswith(f"_{word}")]
    return max(matching, key=len, default=None)


def _stem(path: Path) -> str:
    return re.sub(r"(?i)\.nii(\.gz)?$", "", path.name)
