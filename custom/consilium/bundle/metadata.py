"""Metadata of a bundle: its `configs/metadata.json`, in the form that MONAI specifies."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final

from consilium.bundle.evidence import Evidence
from consilium.bundle.options import BundleOptions
from consilium.tasks.bundling import BundleContent

SCHEMA: Final = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)

_RELATIVE: Final = re.compile("([@%])(?=#|::)")
"""Beginning of a relative name in MONAI's configurations."""


def describe_bundle(
    name: str, evidence: Evidence, content: BundleContent, options: BundleOptions
) -> dict[str, Any]:
    """Return the metadata, as JSON values.

    Args:
        name: Of the bundle.
        evidence: What is known of the job.
        content: What follows from the task.
        options: What a user states.
    """
    model, task = evidence.model, evidence.model.task
    inputs, outputs = (
        ", ".join(one["channel_def"].values())
        for kind in ("inputs", "outputs")
        for one in content.data_format[kind].values()
    )
    sites, trained = ", ".join(evidence.sites) or "unknown sites", model.standalone
    how = "federated learning" if trained is None else f"a {trained.kind} training"
    metadata = {
        "schema": SCHEMA,
        "name": name,
        "version": options.version,
        "changelog": {options.version: f"job {evidence.job}, round {model.round or 'unknown'}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {
            package: found for package in content.packages if (found := _installed(package))
        },
        "task": task.title,
        "description": f"{task.title}; trained by {how} at {sites}, {model.learning.summary}",
        "authors": options.authors or f"The sites of job {evidence.job}: {sites}",
        "copyright": f"License of the weights: {options.license or 'not stated, ask the authors'}",
        "data_source": f"Images of {sites}" + ("; none of them left its site" if trained is None else ""),
        "data_type": "nibabel",
        "image_classes": f"channels: {inputs}",
        "label_classes": f"regions, which may overlap: {outputs}",
        "pred_classes": f"a channel of logits for each of: {outputs}",
        "eval_metrics": evidence.mean_scores,
        "intended_use": options.purpose,
        "references": list(content.references),
        "network_data_format": dict(content.data_format),
        "consilium": {
            "version": version("consilium"),
            "model_sha256": model.digest,
            "round": model.round,
            "job": evidence.job,
            "origin": [one.model_dump(mode="json") for one in model.origin],
            "learning": model.learning.model_dump(mode="json"),
        },
    }
    return {key: inert(value) for key, value in metadata.items()}


def inert(value: Any) -> Any:
    """Return JSON values in which no text is anything but text to MONAI.

    It runs a text that begins with `$`, follows one that begins with `@` or `%`, and resolves relative names
    such as `@##a` anywhere; names of jobs and sites are others' words.

    Example:
        >>> inert({"authors": "$exit()", "references": ["@network", "plain"]})
        {'authors': ' $exit()', 'references': [' @network', 'plain']}
    """
    if isinstance(value, str):
        spaced = _RELATIVE.sub(r"\1 ", value)
        return f" {spaced}" if spaced.startswith(("$", "@", "%")) else spaced
    if isinstance(value, dict):
        return {inert(key): inert(one) for key, one in value.items()}
    return [inert(one) for one in value] if isinstance(value, list) else value


def _installed(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(package)
    except PackageNotFoundError:
        return None
