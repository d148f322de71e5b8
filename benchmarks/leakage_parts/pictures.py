"""Picture of true and reconstructed slices."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
import numpy as np

_CHANNEL: Final = -1
_COLUMNS: Final = ("shown in training", "mean of the attacker's patients", "reconstructed")


def draw(slices: Path, path: Path) -> None:
    """Draw one row for each attacked update.

    Args:
        slices: Folder of arrays `(3, C, X, Y)`: true, guessed and found.
        path: The PNG.
    """
    files = sorted(slices.glob("*.npy"))
    figure, axes = plt.subplots(len(files), 3, figsize=(6, 2 * len(files)), squeeze=False)
    for row, file in zip(axes, files, strict=True):
        images = np.load(file, allow_pickle=False)[:, _CHANNEL]
        for axis, image, title in zip(row, images, _COLUMNS, strict=True):
            axis.imshow(image.T, cmap="gray", origin="lower")
            axis.set(xticks=[], yticks=[])
            axis.set_title(title if axis is not row[0] else f"{file.stem}\n{title}", fontsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
