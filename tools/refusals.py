"""Table of the refusal codes and their remedies for docs/refusals.md."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from consilium.errors import RefusalCode
from consilium.records.remedies import remedy_for

HEAD: Final = """# Refusal codes

Every reason that a site, the server or a job gives has one of these codes: in `consilium status`, in
`report.json`, in the audit logs and in `nvflare job meta`. The remedy is found by the code. A code that
another version of Consilium sent and this one doesn't know is shown as none.

| code | what to do |
|---|---|
"""


def page() -> str:
    """Return the page."""
    return HEAD + "".join(f"| `{code.value}` | {remedy_for(code)} |\n" for code in RefusalCode)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="file that is written: docs/refusals.md")
    parser.parse_args().page.write_text(page())
