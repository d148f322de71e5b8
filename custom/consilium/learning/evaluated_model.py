"""Models that a job has the hospitals evaluate: each by a name and the hash of its file."""

from __future__ import annotations

from pydantic import Field

from consilium.learning.model_store import Digest, file_name
from consilium.settings import Name, Settings

MOST_MODELS = 20
"""Of one job."""


class EvaluatedModel(Settings):
    """A model that the server has in its `local/models/`; a job holds no weights."""

    name: Name = Field(description="What the report calls it.")
    digest: Digest = Field(description="Of the file, which is named after it.")

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return file_name(self.digest)
