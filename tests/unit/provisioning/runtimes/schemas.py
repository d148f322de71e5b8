"""The published schemas of Kubernetes for the kinds that our manifests use, kept beside this file."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

VERSIONS = ("1.28", "1.34")
"""The oldest and the newest that manifests are validated for."""


def validate(manifest: Mapping[str, Any], version: str) -> None:
    """Validate a manifest; unknown keys are errors.

    Raises:
        jsonschema.ValidationError: If it is not valid in this version of Kubernetes.
        KeyError: If its kind is not among the schemas.
    """
    content = _read(version)
    definition = content["kinds"][f"{manifest['apiVersion']} {manifest['kind']}"]
    schema = {"$ref": f"#/$defs/{definition}", "$defs": content["$defs"]}
    jsonschema.Draft202012Validator(schema).validate(manifest)


@cache
def _read(version: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((Path(__file__).parent / f"kubernetes-{version}.json").read_text())
    return content
