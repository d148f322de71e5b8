"""What a job may consist of: configuration in JSON, with values in it and nothing that stands for others.

FLARE expands `{name}` and `{$NAME}` in a job's configuration with variables of the site that runs it, its
environment among them, reads HOCON and YAML with includes and interpolations of their own, and lets a
component that is allowed write to any path it is given. None of it is needed to describe a job, so none of it
is let in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal

Side = Literal["server", "client"]

MAX_BYTES: Final = 1024 * 1024
"""Of a job's files together, before and after unpacking; the largest job of `jobs/` has 10 KB."""

MAX_FILES: Final = 64

_META: Final = "meta.json"
_CONFIGS: Final = {"server": "config/config_fed_server.json", "client": "config/config_fed_client.json"}
_SIGNATURES: Final = (".__nvfl_sig.json", ".__nvfl_submitter.crt")
"""Files that FLARE's console adds to every folder that it submits."""

_CLASS_KEYS: Final = ("path", "class_path")
_OWN: Final = "consilium."
_OWN_COMPONENT: Final = re.compile(r"consilium\.federation(\.[a-z_]+)+\.[A-Z][A-Za-z]+")
_LOCATION: Final = re.compile(r"[/~\\]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://")
_UP: Final = re.compile(r"(^|[/\\])\.\.($|[/\\])")


def job_fault(
    names: Iterable[str], read: Callable[[str], bytes], forbidden_class: Callable[[str], str | None]
) -> str | None:
    """Say why a job is refused; None if it is in order.

    Args:
        names: The job's files, relative to its folder.
        read: Returns a file's content.
        forbidden_class: Returns why the server forbids a class path; None if it doesn't.
    """
    for name in _configurations(names):
        if name != _META and name.partition("/")[2] not in _CONFIGS.values():
            return _unwanted(name)
        fault = _file_fault(name, read(name), forbidden_class)
        if fault is not None:
            return fault
    return None


def app_fault(
    names: Iterable[str],
    read: Callable[[str], bytes],
    forbidden_class: Callable[[str], str | None],
    side: Side,
) -> str | None:
    """Say why an app, the part of a job that a site gets, is refused; None if it is in order.

    Args:
        names: The app's files, relative to its folder.
        read: Returns a file's content.
        forbidden_class: Returns why the site forbids a class path; None if it doesn't.
        side: What the site is. An app may hold the configuration of the other side as well, whose classes
            are never built here.
    """
    for name in _configurations(names):
        if name not in _CONFIGS.values():
            return _unwanted(name)
        built = name == _CONFIGS[side]
        fault = _file_fault(name, read(name), forbidden_class if built else lambda path: None)
        if fault is not None:
            return fault
    return None


def _configurations(names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.rpartition("/")[2] not in _SIGNATURES)


def _unwanted(name: str) -> str:
    if "custom" in name.split("/"):
        return f"it brings code of its own ({name}), which nobody may; a job is configuration only"
    return f"it holds a file {name}; allowed are {_META} and, in each app, {' and '.join(_CONFIGS.values())}"


def _file_fault(name: str, content: bytes, forbidden_class: Callable[[str], str | None]) -> str | None:
    try:
        fault = _content_fault(json.loads(content), forbidden_class)
    except (ValueError, RecursionError) as error:
        return f"{name} is not valid JSON ({type(error).__name__})"
    return fault and f"{name}: {fault}"


def _content_fault(content: Any, forbidden_class: Callable[[str], str | None]) -> str | None:
    for place, key, text in _texts(content, ""):
        fault = _text_fault(text)
        if fault is None and key in _CLASS_KEYS:
            fault = _class_fault(text) or forbidden_class(text)
        if fault is not None:
            return f"{place or 'a key'} is {text[:80]!r}: {fault}"
    return None


def _text_fault(text: str) -> str | None:
    if "{" in text or "}" in text or "$" in text:
        return "a job holds values, not variables; FLARE would put a value of the site's machine there"
    if _LOCATION.match(text) or _UP.search(text):
        return "a job names no place outside its own folder"
    return None


def _class_fault(path: str) -> str | None:
    if path.startswith(_OWN) and not _OWN_COMPONENT.fullmatch(path):
        return f"no component for a job; those of Consilium are classes in {_OWN}federation"
    return None


def _texts(content: Any, place: str, key: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every text with its place and the key that it stands under; keys are texts, too."""
    if isinstance(content, str):
        yield place, key, content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield place, "", name
            yield from _texts(value, f"{place}.{name}" if place else name, name)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _texts(value, f"{place}[{index}]")
