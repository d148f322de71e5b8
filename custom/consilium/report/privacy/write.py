"""The three files of the officer's page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from consilium.data.files import private_folder, write_atomically
from consilium.report.privacy.page import render_privacy
from consilium.report.privacy.pdf import render_privacy_pdf
from consilium.report.privacy.statement import PrivacyStatement

PRIVACY_PAGE: Final = "privacy.html"


def write_privacy(folder: Path, statement: PrivacyStatement) -> Path:
    """Write `privacy.html`, `privacy.pdf` and `privacy.json` into a folder, which is made where needed.

    Returns:
        The page.

    Raises:
        OSError: If the folder can't be written.
    """
    private_folder(folder, ours=False)
    files = {
        PRIVACY_PAGE: render_privacy(statement).encode(),
        "privacy.pdf": render_privacy_pdf(statement),
        "privacy.json": f"{statement.model_dump_json(indent=1)}\n".encode(),
    }
    for name, content in files.items():
        write_atomically(folder / name, content, durable=False)
    return folder / PRIVACY_PAGE
