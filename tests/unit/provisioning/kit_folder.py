"""The least that is a hospital's kit."""

import json
from pathlib import Path


def make_kit(folder: Path, *, dataset: str = "/data/brats", **site: str) -> Path:
    """Write a kit that `Kit` reads; nothing of it could join anything."""
    (folder / "startup").mkdir(parents=True)
    (folder / "local").mkdir()
    startup = {
        "servers": [{"name": "consortium", "service": {"target": "flare.example:8002", "scheme": "grpc"}}],
        "client": {"fqsn": folder.name},
    }
    (folder / "startup/fed_client.json").write_text(json.dumps(startup))
    (folder / "startup/sub_start.sh").write_text("#!/usr/bin/env bash\n")
    scope = {"name": "hospital", "properties": {"consilium": {"dataset": dataset, **site}}}
    (folder / "local/privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "hospital"}))
    return folder
