"""A job's files say which settings wrote them, and only exactly these files do."""

import inspect
import json
from typing import get_args

import pytest
from effort import examples
from hypothesis import given, settings
from pyhocon import ConfigFactory, HOCONConverter

from consilium.errors import ConfigurationError
from consilium.recipes import classes
from consilium.recipes.base import JobFiles
from consilium.recipes.catalog import CATALOG, build_recipe
from consilium.recipes.recognition import RECIPES, recognize_app, recognize_recipe

from .any_settings import any_recipe, largest_recipes


def read_again(files):
    """The files as a reader of their text gets them."""
    return JobFiles(*(json.loads(json.dumps(part)) for part in (files.meta, files.server, files.client)))


def class_paths(config):
    if isinstance(config, dict):
        if "path" in config:
            yield config["path"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from class_paths(value)


def unbounded(schema, definitions, name):
    """Yield what a JSON schema leaves open: the setting's name, and the limit that it lacks."""
    if "$ref" in schema:
        schema = {**schema, **definitions[schema["$ref"].rpartition("/")[2]]}
    if "enum" in schema or "const" in schema:
        return
    for part in [*schema.get("anyOf", []), *schema.get("allOf", []), *schema.get("prefixItems", [])]:
        yield from unbounded(part, definitions, name)
    kind = schema.get("type")
    needed = {"string": ["pattern"], "array": ["maxItems"], "boolean": [], "null": []}
    if kind in ("integer", "number"):
        for low, high in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if low not in schema and high not in schema:
                yield name, low
    elif kind == "object":
        if schema.get("additionalProperties", True) is not False:
            yield name, "additionalProperties"
        for key, value in schema.get("properties", {}).items():
            yield from unbounded(value, definitions, f"{name}.{key}")
    elif kind is None:
        if not any(key in schema for key in ("anyOf", "allOf", "$ref")):
            yield name, "type"
    else:
        for key in needed[kind]:
            if key not in schema:
                yield name, key
        if isinstance(schema.get("items"), dict):
            yield from unbounded(schema["items"], definitions, f"{name}[]")


@settings(max_examples=examples(20))
@given(any_recipe)
def test_every_job_that_a_recipe_writes_is_found_again_with_its_settings(recipe):
    files = read_again(recipe.files())
    found = recognize_recipe(files)
    assert type(found) is type(recipe)
    assert found.settings == recipe.settings
    app = recognize_app(files.server, files.client)
    renamed = {"name": recipe.settings.name, "min_sites": recipe.settings.min_sites}
    decided_in_meta = {"gpus_per_site", "resume"} & set(type(recipe.settings).model_fields)
    renamed |= {key: getattr(recipe.settings, key) for key in decided_in_meta}
    assert app.settings.model_copy(update=renamed) == recipe.settings


@settings(max_examples=examples(6))
@given(any_recipe)
def test_what_nvflare_job_submit_makes_of_a_job_is_still_the_same_job(recipe):
    """FLARE's command reads every file as HOCON and writes JSON again."""
    files = recipe.files()
    written = [
        json.loads(HOCONConverter.to_json(ConfigFactory.parse_string(json.dumps(part))))
        for part in (files.server, files.client)
    ]
    assert recognize_app(*written).kind == recipe.kind


@pytest.mark.parametrize("recipe", largest_recipes(), ids=lambda recipe: recipe.kind)
def test_every_setting_stands_somewhere_in_the_files(recipe):
    assert set(recipe.places) == set(type(recipe.settings).model_fields)


@pytest.mark.parametrize("kind", RECIPES.values(), ids=lambda kind: kind.kind)
def test_no_setting_of_a_job_is_without_a_limit(kind):
    """A text without a pattern could hold `{$NAME}`, in whose place FLARE puts a variable of the machine."""
    schema = kind.settings_type.model_json_schema()
    assert not sorted(unbounded(schema, schema.get("$defs", {}), ""))


def test_the_classes_that_sites_allow_are_exactly_those_that_recipes_write():
    files = [recipe.files() for recipe in largest_recipes()]
    for side, listed in (("server", classes.SERVER_CLASSES), ("client", classes.CLIENT_CLASSES)):
        written = {path for one in files for path in class_paths(getattr(one, side))}
        assert sorted(listed) == sorted(written)
        assert len(set(listed)) == len(listed)


def test_every_listed_class_can_be_imported_by_its_path():
    for path in (*classes.SERVER_CLASSES, *classes.CLIENT_CLASSES):
        module, _, name = path.rpartition(".")
        assert inspect.isclass(getattr(__import__(module, fromlist=[name]), name))


@pytest.mark.parametrize(
    ("setting", "other"),
    [("seed", False), ("seed", 0.0), ("seed", -0.0), ("seed", "0"), ("batch_size", True), ("spacing_mm", 2),
     ("spacing_mm", "2.0"), ("local_epochs", 0), ("patch_voxels", [72.0, 88, 80])],
)  # fmt: skip
def test_values_that_python_or_pydantic_hold_for_equal_are_distinguished(setting, other):
    recipe = next(one for one in largest_recipes() if one.kind == "readiness")
    files = read_again(recipe.files())
    files.client["executors"][0]["executor"]["args"]["learning"][setting] = other
    with pytest.raises(ConfigurationError, match=setting):
        recognize_recipe(files)


def test_a_reason_is_one_short_line_whatever_is_quoted():
    recipe = largest_recipes()[0]
    for text in ("\x1b[31m\n\r\u2028\u202e", "x" * 100_000):
        for place in ("key", "value", "class"):
            files = read_again(recipe.files())
            if place == "key":
                files.server[text] = 1
            elif place == "value":
                files.server["format_version"] = text
            else:
                files.server["workflows"][0]["path"] = text
            with pytest.raises(ConfigurationError) as caught:
                recognize_recipe(files)
            assert len(str(caught.value)) < 1000
            assert str(caught.value).isascii()
            assert str(caught.value).isprintable()


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("job", CATALOG)
def test_a_setting_that_is_null_is_read_back_as_null_whatever_its_default(job):
    nullable = [
        name
        for name, field in type(build_recipe(job).settings).model_fields.items()
        if type(None) in get_args(field.annotation)
    ]
    for name in nullable:
        written = build_recipe(job, {name: None}).files()
        assert getattr(recognize_recipe(written).settings, name) is None, name
