"""Cases of a folder for a bundle: files that are distinguished by the endings of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def find_cases(
    folder: str | Path, endings: Mapping[str, Sequence[str]], label: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Find the cases below a folder: files of one name up to the ending, all of them in one folder.

    Words of an ending are joined by `_` here; in a file name `-` and `.` do as well, and case does not
    matter.

    Args:
        folder: It is only read.
        endings: Each image and the endings by which it is known, in the network's order.
        label: Endings of label maps; where there are any, cases without one are left out.

    Returns:
        For each case its images' paths, `image`, and the path of its label map, `label`, where one is asked
        for.

    Raises:
        ValueError: There is none, or a case lacks an image.
    """
    known = {word: name for name, words in endings.items() for word in words}
    known |= dict.fromkeys(label, "")
    cases: dict[tuple[Path, str], dict[str, str]] = {}
    for path in sorted(Path(folder).rglob("*.nii*")):
        stem = path.name.lower().removesuffix(".gz").removesuffix(".nii")
        plain = stem.replace("-", "_").replace(".", "_")
        matches = [word for word in known if plain == word or plain.endswith(f"_{word}")]
        if matches:
            longest = max(matches, key=len)
            case = (path.parent, plain.removesuffix(longest))
            cases.setdefault(case, {}).setdefault(known[longest], str(path))
    found: list[dict[str, Any]] = []
    for (place, name), files in cases.items():
        missing = [image for image in endings if image not in files]
        if len(missing) == len(endings) or (label and "" not in files):
            continue
        if missing:
            raise ValueError(f"{place}: case {name.rstrip('_') or place.name!r} has no {', '.join(missing)}")
        images = [files[image] for image in endings]
        found.append({"image": images, **({"label": files[""]} if label else {})})
    if not found:
        wanted = ", ".join(f"*_{words[0]}.nii.gz" for words in endings.values())
        raise ValueError(f"{folder} holds no case: files are looked for as {wanted}")
    return found
