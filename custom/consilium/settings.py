"""The base of every configuration in Consilium: validated as a whole, before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consilium.errors import ConfigurationError

MAX_SITES: Final = 10_000
"""Sites of a federation."""

MINUTES_PER_YEAR: Final = 365 * 24 * 60
"""Longest time that a setting may ask anybody to wait."""

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Of a job, a task or a network: fit for a file's name."""

SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(BaseModel):
    """A frozen group of settings in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @classmethod
    def parse(cls: type[SettingsT], values: Mapping[str, Any], *, source: str) -> SettingsT:
        """Validate `values` as a whole.

        Args:
            values: Settings as read from a job, a site's file or the command line.
            source: What they were read from, for the message.

        Raises:
            ConfigurationError: With one line for each wrong setting: its name, the value seen, what is
                allowed and, for an unknown name, the nearest known one.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            lines = [_explain(cls, problem) for problem in error.errors(include_url=False)]
            raise ConfigurationError(
                f"{source}: {len(lines)} setting(s) can't be used\n" + "\n".join(lines)
            ) from None


def _explain(model: type[BaseModel], problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"]) or "(all)"
    if problem["type"] != "extra_forbidden":
        return f"  {name}: {problem['msg']} (seen: {problem['input']!r})"
    known = sorted(_fields(model, problem["loc"][:-1]))
    nearest = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    return f"  {name}: no such setting; {hint}"


def _fields(model: type[BaseModel], location: tuple[Any, ...]) -> set[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None or not (
            isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        ):
            return set()
        model = field.annotation
    return set(model.model_fields)
