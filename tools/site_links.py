"""Hook of MkDocs: the links of `docs/` work on the site as they do in a checkout.

A page links to a file of the repository by its relative path, as GitHub reads it. On the site, a path that
leads out of `docs/` becomes the file's address in the repository. Anchors are those that GitHub makes.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.utils import log
from pymdownx.slugs import slugify

_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
_HAS_SCHEME = re.compile(r"[a-z][a-z+.-]*:")


def on_config(config: Any) -> Any:
    """Make anchors as GitHub does."""
    config["mdx_configs"].setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """Turn links that leave `docs/` into addresses of the repository."""
    root = Path(config["config_file_path"]).parent
    docs = Path(config["docs_dir"]).relative_to(root).as_posix()

    def lead(link: re.Match[str]) -> str:
        before, path, after = link.groups()
        target = posixpath.normpath(posixpath.join(docs, posixpath.dirname(page.file.src_uri), path))
        if _HAS_SCHEME.match(path) or target.startswith(f"{docs}/"):
            return link[0]
        if target.startswith("..") or not (root / target).exists():
            log.warning("%s links to %s, which the repository does not have", page.file.src_uri, path)
        kind = "tree" if (root / target).is_dir() else "blob"
        return f"{before}{config['extra']['repository']}/{kind}/main/{target}{after}"

    return _LINK.sub(lead, markdown)
