"""Writer of MONAI bundles: a trained model as a folder that runs without Consilium."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from consilium.bundle.evidence import Evidence
from consilium.bundle.metadata import describe_bundle
from consilium.bundle.model_card import one_line, write_card
from consilium.bundle.options import BundleOptions
from consilium.data.files import private_folder, readable, write_atomically, write_failure
from consilium.errors import ConfigurationError
from consilium.learning.model_file import LAST_MODEL
from consilium.prediction.checksums import CHECKSUMS, MODELS, list_checksums, unlisted_files
from consilium.prediction.trained_model import TrainedModel
from consilium.tasks.bundling import BundleContent

_METADATA: Final = "configs/metadata.json"


def write_bundle(
    model: TrainedModel | Path | str, out: Path | str, options: BundleOptions | None = None
) -> Path:
    """Write a model as a MONAI bundle; the folder's name is the bundle's.

    It holds configurations of inference and evaluation, the weights in three formats, the transforms, a model
    card and checksums. It needs MONAI and not Consilium, and finds what `consilium predict` finds.

    Example:
        ```python
        from consilium import write_bundle

        write_bundle("runs/first/result", "brain_tumor_bundle")
        ```

    Args:
        model: A trained model, or where one is; see `TrainedModel.load`.
        out: The folder to make; an earlier bundle there is replaced, unless other files are in it.
        options: What you state about it.

    Returns:
        The folder.

    Raises:
        ConfigurationError: The model, its task or the folder can't be used.
        DataError: The model's file can't be used.
    """
    trained = model if isinstance(model, TrainedModel) else TrainedModel.load(model)
    options = options or BundleOptions()
    bundling = trained.task.bundling
    if bundling is None:
        raise ConfigurationError(
            f"models of task {trained.task.name} can't be bundled: the task does not state how MONAI runs "
            "them; `consilium predict` uses the model's file as it is"
        )
    folder = Path(out).resolve()
    _require_free(folder)
    evidence = Evidence.find(trained)
    content = bundling.content(trained.learning)
    name = readable(folder.name)
    files: dict[str, bytes] = {
        "docs/README.md": write_card(name, evidence, content, options).encode(),
        "docs/license.txt": _license(options).encode(),
        "LICENSE": _license(options).encode(),
        f"{MODELS}/{LAST_MODEL}": trained.read_file(),
    }
    metadata = _json(describe_bundle(name, evidence, content, options))
    configs = {"inference": _json(content.inference), "evaluate": _json(content.evaluate)}
    files |= {_METADATA: metadata, **{f"configs/{one}.json": text for one, text in configs.items()}}
    files |= {f"scripts/{one}": source.encode() for one, source in content.scripts.items()}
    files |= _for_torch(trained, content, {"metadata.json": metadata, "inference.json": configs["inference"]})
    try:
        _write(folder, files)
    except OSError as error:
        raise ConfigurationError(write_failure(folder, error)) from error
    return Path(out)


def _require_free(folder: Path) -> None:
    """Check that nothing but an earlier bundle would be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; name a folder to make")
    if any(folder.iterdir()) and not ((folder / CHECKSUMS).is_file() and (folder / _METADATA).is_file()):
        raise ConfigurationError(
            f"{folder} holds something else than a bundle of Consilium; name a folder to make, or an empty "
            "one"
        )
    if own := unlisted_files(folder) if (folder / CHECKSUMS).is_file() else []:
        raise ConfigurationError(
            f"{folder} holds files that are no part of the bundle, such as {readable(own[0])}, and writing "
            "it again would remove them; move them elsewhere, or name another folder"
        )


def _for_torch(model: TrainedModel, content: BundleContent, extra: dict[str, bytes]) -> dict[str, bytes]:
    """The weights as a state dict, and as TorchScript with the configuration in it, for MONAI Deploy."""
    import torch

    from consilium.learning.network_state import set_weights

    network = model.task.method.build_network(model.learning).eval()
    set_weights(network, model.weights)
    state = io.BytesIO()
    torch.save(network.state_dict(), state)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "model.ts"  # the archive names its root after it
        torch.jit.save(torch.jit.script(network), str(script), _extra_files=extra)
        scripted = script.read_bytes()
    return {f"{MODELS}/model.pt": state.getvalue(), f"{MODELS}/model.ts": scripted}


def _license(options: BundleOptions) -> str:
    stated = options.license or "not stated; ask the authors before you use or share them"
    return (
        f"License of the weights in models/: {one_line(stated)}\n\n"
        "License of configs/ and scripts/: Apache-2.0, http://www.apache.org/licenses/LICENSE-2.0\n\n"
        f"{one_line(options.purpose)}\n"
    )


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files, or none; only their owner can open them."""
    private_folder(folder.parent, ours=False)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary) / folder.name
        for name, content in files.items():
            write_atomically(private_folder((made / name).parent) / Path(name).name, content, durable=False)
        write_atomically(made / CHECKSUMS, list_checksums(made).encode(), durable=False)
        if folder.exists():
            folder.rename(Path(temporary) / "replaced")
        made.rename(folder)
