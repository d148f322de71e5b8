"""Marker file of a synthetic cohort, `cohort.json`: its identity and completeness."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from consilium.data.output_claim import own_names
from consilium.errors import ConfigurationError
from consilium.tasks.brain_tumor.synthetic.spec import CohortSpec

MARKER = "cohort.json"


@dataclass
class CohortMarker:
    """The marker of one cohort folder.

    Args:
        path: The file.
        identity: What must agree for the folder to be this cohort: specification and package version.
        complete: Whether every case was written.
    """

    path: Path
    identity: dict[str, Any]
    complete: bool

    @classmethod
    def open(cls, spec: CohortSpec, root: Path) -> "CohortMarker":
        """Read the marker of a folder, or start one where the folder is new or empty.

        Raises:
            ConfigurationError: The folder holds something else.
        """
        path = root / MARKER
        identity = {"spec": spec.model_dump(mode="json"), "version": version("consilium")}
        if not root.exists() or (root.is_dir() and not own_names(root)):
            return cls(path, identity, complete=False)
        try:
            found = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{root} is not empty and has no readable {MARKER}, so it is not a cohort; nothing was "
                "written to it. Choose a new or empty folder."
            ) from error
        if not _is_of(found, spec, identity):
            raise ConfigurationError(
                f"{root} holds a cohort of another specification or version (see {path}); nothing was "
                f"changed. Choose another folder, or remove this one first: rm -r {root}"
            )
        return cls(path, identity, complete=found.get("complete") is True)

    def write(self, *, complete: bool) -> None:
        """Write the marker in one step, so that it is never half there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".json.new")
        draft.write_text(json.dumps({"complete": complete, **self.identity}, indent=2) + "\n")
        draft.replace(self.path)


def _is_of(found: object, spec: CohortSpec, identity: dict[str, Any]) -> bool:
    """Whether what a marker says is this cohort; a setting that it lacks has its default."""
    if not isinstance(found, dict) or found.get("version") != identity["version"]:
        return False
    try:
        return CohortSpec.model_validate(found.get("spec")) == spec
    except ValidationError:
        return False
