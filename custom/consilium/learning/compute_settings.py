"""A hospital's settings for the use of its machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from consilium.settings import Settings


class ComputeSettings(Settings):
    """A site's limits for the use of its machine."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    cpu_threads: int | None = Field(
        default=None, ge=1, le=1024, description="Default: all cores that the process may use."
    )
    loader_workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes that load samples, for each training process; 0: the training process's own.",
    )
    processes: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = Field(
        default="auto",
        description="Processes that train together; `auto`: one for each GPU, one where there is none.",
    )

    @model_validator(mode="after")
    def _check_processes(self) -> Self:
        if ":" in self.device and self.processes not in ("auto", 1):
            raise ValueError(
                f"processes: {self.processes} with device {self.device!r}; several processes need device "
                "'cuda', which gives each of them a GPU of its own"
            )
        return self
