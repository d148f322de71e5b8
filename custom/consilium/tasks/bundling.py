"""Bundling of a task: what its models need to run in MONAI, without Consilium."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class BundleContent:
    """Content of a bundle that follows from the task and its settings, and not from the weights.

    Attributes:
        inference: Configuration of inference, as JSON values; `network_def` is the network.
        evaluate: What evaluation changes in it.
        data_format: Inputs and outputs of the network, `network_data_format` of the bundle's metadata.
        scripts: The files of `scripts/`: name to source.
        packages: Packages that MONAI doesn't bring and the bundle needs.
        usage: How cases are named and what is written, in Markdown.
        references: Publications.
    """

    inference: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    data_format: Mapping[str, Any]
    scripts: Mapping[str, str]
    packages: tuple[str, ...]
    usage: str
    references: tuple[str, ...] = field(default=())


class Bundling(Protocol):
    """How models of a task become MONAI bundles."""

    def content(self, settings: Any) -> BundleContent:
        """Return what a bundle of a model holds beside its weights.

        Args:
            settings: An instance of the task's `settings_type`, with which the model was trained.

        Raises:
            ConfigurationError: MONAI has no such network, or a part of the task can't be shipped.
        """
