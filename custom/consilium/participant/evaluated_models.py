"""Ledger of the models that jobs had evaluated at a site, whose number the hospital limits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from consilium.data.files import private_folder, write_atomically
from consilium.errors import DataError, RefusalCode, SiteRefusal
from consilium.learning.weights import Weights
from consilium.participant.site_settings import SiteSettings

LEDGER_FILE: Final = "evaluated_models.json"
"""In the site's `state_dir`."""

_LOCK_FILE: Final = "evaluated_models.lock"


class _Ledger(BaseModel):
    model_config = ConfigDict(extra="forbid")

    models: list[str] = []


def admit_model(site: SiteSettings, weights: Weights) -> None:
    """Note a model before it is evaluated; one that was evaluated before asks nothing new.

    A model can be made to answer a question about images, and each answer is one more about the same
    patients. So a hospital limits how many models it evaluates in all.

    Args:
        site: What the hospital decides.
        weights: The model.

    Raises:
        SiteRefusal: There were as many other models as the hospital allows.
        DataError: The ledger can't be read or written: no model is evaluated without it.
    """
    path = site.state_dir / LEDGER_FILE
    try:
        private_folder(site.state_dir)
        with FileLock(site.state_dir / _LOCK_FILE, mode=0o600):
            ledger = _read(path)
            digest = digest_weights(weights)
            if digest in ledger.models:
                return
            if len(ledger.models) >= site.max_evaluated_models:
                raise SiteRefusal(
                    "it has evaluated as many models as its max_evaluated_models allows",
                    code=RefusalCode.MANY_MODELS,
                )
            ledger.models.append(digest)
            write_atomically(path, ledger.model_dump_json(indent=1).encode())
    except OSError as error:
        raise DataError(f"The list of evaluated models in {path} can't be used ({error}).") from error


def digest_weights(weights: Weights) -> str:
    """Return a hash of weights: names, number types, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name}\0{array.dtype.str}\0{weights[name].shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _read(path: Path) -> _Ledger:
    try:
        return _Ledger.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return _Ledger()
    except ValidationError:
        raise DataError(
            f"The list of evaluated models in {path} is damaged: restore it from a backup, or remove it; the "
            "count of max_evaluated_models then starts again."
        ) from None
