"""Recognition of a job from its files: it is Consilium's if a recipe writes exactly these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final, get_args

from nvflare.apis.job_def import JobMetaKey

from consilium.default_task import MAIN_JOB
from consilium.errors import ConfigurationError
from consilium.federation.message_names import RESUME_META
from consilium.recipes.base import APP, CLIENT_CONFIG, META, SERVER_CONFIG, JobFiles, JobRecipe, Place
from consilium.recipes.classes import class_path
from consilium.recipes.cyclic import CyclicRecipe
from consilium.recipes.ditto import DittoRecipe
from consilium.recipes.dp_sgd import DpSgdRecipe
from consilium.recipes.evaluation import EvaluationRecipe
from consilium.recipes.fedavg import FedAvgRecipe
from consilium.recipes.fedbn import FedBNRecipe
from consilium.recipes.fednova import FedNovaRecipe
from consilium.recipes.fedpid import FedPIDRecipe
from consilium.recipes.fedprox import FedProxRecipe
from consilium.recipes.readiness import ReadinessRecipe
from consilium.recipes.scaffold import ScaffoldRecipe
from consilium.recipes.secagg_fedavg import SecAggRecipe
from consilium.recipes.server_optimizers import FedAdamRecipe, FedAvgMRecipe, FedYogiRecipe
from consilium.recipes.statistics import StatisticsRecipe
from consilium.recipes.swarm import SwarmRecipe
from consilium.recipes.training import ALGORITHM_PLACE, TrainingRecipe

RECIPES: Final[Mapping[str, type[JobRecipe]]] = {
    MAIN_JOB: FedAvgRecipe,
    "fedprox": FedProxRecipe,
    "fedavgm": FedAvgMRecipe,
    "fedadam": FedAdamRecipe,
    "fedyogi": FedYogiRecipe,
    "fednova": FedNovaRecipe,
    "fedpid": FedPIDRecipe,
    "scaffold": ScaffoldRecipe,
    "fedbn": FedBNRecipe,
    "cyclic": CyclicRecipe,
    "dp": DpSgdRecipe,
    f"{MAIN_JOB}_secagg": SecAggRecipe,
    "ditto": DittoRecipe,
    "swarm": SwarmRecipe,
    "check": ReadinessRecipe,
    "stats": StatisticsRecipe,
    "evaluate": EvaluationRecipe,
}
"""Every recipe, by the end of its jobs' names; other jobs' names end in one of them, `_` and a word."""

_COMPARED_META: Final = (
    JobMetaKey.JOB_NAME.value,
    JobMetaKey.MIN_CLIENTS.value,
    JobMetaKey.RESOURCE_SPEC.value,
    RESUME_META,
)
"""What a recipe decides of `meta.json`. Whom a job is deployed to is the submitter's choice, and FLARE adds
entries of its own: the guard has a model for them."""

_SERVER: Final = f"{APP}/{SERVER_CONFIG}"
_CLIENT: Final = f"{APP}/{CLIENT_CONFIG}"
_NAME: Final = "job"
_SHOWN_CHARACTERS: Final = 120
_REASON_CHARACTERS: Final = 400
_MISSING: Final = object()


def recognize_recipe(files: JobFiles) -> JobRecipe:
    """Return the recipe that writes exactly these files.

    Reads the settings back from the places where recipes write them, lets the recipe's own model check them,
    builds the job from them and compares. Equal means equal as JSON, kinds of numbers included: 1, 1.0 and
    true are three values.

    Args:
        files: A job's files.

    Raises:
        ConfigurationError: If no recipe does; names the first difference.
    """
    recipe, written = _build(files)
    _compare(_decided(files.meta), _decided(written.meta), META, recipe)
    return recipe


def recognize_app(server: Any, client: Any) -> JobRecipe:
    """Return a recipe that writes exactly these configurations, whatever its job's `meta.json` holds.

    Args:
        server: The configuration of the server's side.
        client: The configuration of every site's side.

    Raises:
        ConfigurationError: If no recipe does; names the first difference.
    """
    recipe, _ = _build(JobFiles({JobMetaKey.JOB_NAME.value: _NAME}, server, client))
    return recipe


def show(value: Any) -> str:
    """Return a JSON value as one short line of ASCII, whatever it holds."""
    return _shorten(json.dumps(value), _SHOWN_CHARACTERS)


def one_line(text: str) -> str:
    """Return a text as one line of ASCII, shortened: it may quote the sender's own words."""
    words = " ".join(text.encode("unicode_escape").decode().replace("\\n", " ").split())
    return _shorten(words, _REASON_CHARACTERS)


def _build(files: JobFiles) -> tuple[JobRecipe, JobFiles]:
    """The recipe of a job's settings, and the files that it writes: its configurations are those given."""
    recipe_type = _find_type(files.server)
    values: dict[str, Any] = {}
    for setting, place in recipe_type.places.items():
        value = _look_up(files, place)
        if value is not _MISSING:
            values[setting] = value
    # Null is not written, as it is the component's own default; it may not be the recipe's.
    fields = recipe_type.settings_type.model_fields
    nulls = dict.fromkeys(
        setting
        for setting in recipe_type.places.keys() - values.keys()
        if setting in fields and type(None) in get_args(fields[setting].annotation)
    )
    try:
        recipe = recipe_type.from_values(
            {**nulls, **values}, source=f"the settings of this {recipe_type.kind} job"
        )
    except ConfigurationError as error:
        raise ConfigurationError(one_line(f"{_files_without(recipe_type, values)}{error}")) from None
    written = recipe.files()
    _compare(files.server, written.server, _SERVER, recipe)
    _compare(files.client, written.client, _CLIENT, recipe)
    return recipe, written


def _files_without(recipe_type: type[JobRecipe], values: Mapping[str, Any]) -> str:
    """The files of a job that hold none of the settings that a recipe writes there: the start of a reason."""
    sides = {"server": _SERVER, "client": _CLIENT}
    places = recipe_type.places.items()
    expected = {place[0] for _, place in places} & sides.keys()
    empty = sorted(expected - {place[0] for setting, place in places if setting in values})
    return f"{', '.join(sides[str(side)] for side in empty)}: no setting is there; " if empty else ""


def _find_type(server: Any) -> type[JobRecipe]:
    files = JobFiles({}, server, {})
    seen = _look_up(files, ("server", "workflows", 0, "path"))
    of_controller = [one for one in RECIPES.values() if seen == class_path(one.controller)]
    for recipe_type in of_controller:
        if not issubclass(recipe_type, TrainingRecipe):
            return recipe_type
        algorithm = _look_up(files, (*ALGORITHM_PLACE, "name"))
        if algorithm == recipe_type.algorithm():
            return recipe_type
    if of_controller:
        found = "is missing" if algorithm is _MISSING else f"is {show(algorithm)}"
        known = ", ".join(one.algorithm() for one in of_controller if issubclass(one, TrainingRecipe))
        raise ConfigurationError(f"{_SERVER}: workflows[0].args.algorithm.name {found}; allowed: {known}")
    found = "is missing" if seen is _MISSING else f"is {show(seen)}"
    controllers = dict.fromkeys(class_path(one.controller) for one in RECIPES.values())
    raise ConfigurationError(f"{_SERVER}: workflows[0].path {found}; allowed: {', '.join(controllers)}")


def _look_up(files: JobFiles, place: Place) -> Any:
    value = getattr(files, str(place[0]))
    for key in place[1:]:
        if isinstance(key, int):
            if not isinstance(value, list) or len(value) <= key:
                return _MISSING
        elif not isinstance(value, dict) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _decided(meta: Any) -> dict[str, Any]:
    return {key: meta[key] for key in _COMPARED_META if key in meta} if isinstance(meta, Mapping) else {}


def _compare(seen: Any, written: Any, file: str, recipe: JobRecipe) -> None:
    for place, there, own in _differences(seen, written, ""):
        found = "is missing" if there is _MISSING else f"is {show(there)}"
        article = "an" if recipe.kind.startswith("e") else "a"
        right = "nothing" if own is _MISSING else show(own)
        raise ConfigurationError(
            f"{file}: {one_line(place)} {found}; {article} {recipe.kind} job with these settings has {right} "
            "there"
        )


def _differences(seen: Any, written: Any, place: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield where two JSON values differ, with both values; `_MISSING` for one that is not there."""
    if isinstance(seen, dict) and isinstance(written, dict):
        # First what is there and should not be: it says more than what it displaced.
        for key in [*(key for key in seen if key not in written), *written]:
            there = f"{place}.{key}" if place else key
            yield from _differences(seen.get(key, _MISSING), written.get(key, _MISSING), there)
    elif isinstance(seen, list) and isinstance(written, list):
        for index, (one, other) in enumerate(zip_longest(seen, written, fillvalue=_MISSING)):
            yield from _differences(one, other, f"{place}[{index}]")
    # As text: 1 is not 1.0 and not true, 0.0 is not -0.0.
    elif _MISSING in (seen, written) or json.dumps(seen) != json.dumps(written):
        yield place, seen, written


def _shorten(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}..."
