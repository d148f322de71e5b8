"""Parsed file names: the case, and the kind of image by the last words of the name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from consilium.errors import ConfigurationError
from consilium.tasks.segmentation.layouts.vocabulary import LABEL, Vocabulary

__all__ = ["LABEL", "FileEndings", "ParsedName"]


@dataclass(frozen=True)
class ParsedName:
    """Parsed name of a file.

    Args:
        case_id: Part of the name before the ending; may be empty.
        role: An input or `LABEL`; None for an image that is known and not used.
        rank: Of several files of one role the lowest is used: a corrected label before an automatic one.
        prepared: Whether the name says that the image is the one that training wants.
        naming: Of which release the name is; None where it may be of any.
    """

    case_id: str
    role: str | None
    rank: int = 0
    prepared: bool = False
    naming: str | None = None


@dataclass(frozen=True)
class _Entry:
    """An ending: its meaning, and the plain ending that it contains."""

    role: str | None
    plain: str = ""
    rank: int = 0
    prepared: bool = False


class FileEndings:
    """The endings of a problem's file names, with what a hospital adds to them.

    Args:
        vocabulary: The problem's words.
        own: Input, or `label`, to the endings that a hospital uses for it beside the known ones.

    Raises:
        ConfigurationError: An ending is none, or is given for a role that there is not or for two roles.

    Example:
        >>> FileEndings(Vocabulary({"ct": ("ct",)}), {"ct": ["thorax"]}).parse("P012-thorax")
        ParsedName(case_id='P012', role='ct', rank=0, prepared=False, naming=None)
    """

    def __init__(self, vocabulary: Vocabulary, own: Mapping[str, Sequence[str]] | None = None) -> None:
        self.vocabulary = vocabulary
        self._own: dict[str, str] = {}
        for role, endings in (own or {}).items():
            if role not in (*vocabulary.images, LABEL):
                raise ConfigurationError(
                    f"file_endings names {role!r}; known: {', '.join((*vocabulary.images, LABEL))}. "
                    f"{self.how_to_name()}"
                )
            for ending in endings:
                words = _normalize(ending).removesuffix("_gz").removesuffix("_nii").strip("_")
                if not words or "/" in ending or self._own.setdefault(words, role) != role:
                    raise ConfigurationError(
                        f"file_endings gives {role} the ending {ending!r}: it needs letters or digits and "
                        f"belongs to one kind of file. {self.how_to_name()}"
                    )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that have endings."""
        return tuple(self.vocabulary.images)

    def parse(self, stem: str) -> ParsedName | None:
        """What a file name without `.nii.gz` says; None if it ends in nothing known.

        Args:
            stem: The name.
        """
        normal = _normalize(stem)
        start = -1
        while True:  # the longest ending first: A_organ_segmentation is not a plain segmentation
            entry = self._table.get(normal[start + 1 :])
            if entry is not None:
                break
            start = normal.find("_", start + 1)
            if start < 0:
                return None
        case_id = stem[: max(start, 0)].rstrip("-_. ")
        hyphen = start > 0 and stem[start] == "-"
        naming = self.vocabulary.naming(entry.plain, hyphen) if self.vocabulary.naming else None
        return ParsedName(case_id, entry.role, entry.rank, entry.prepared, naming)

    def role_of(self, word: str) -> str | None:
        """The role of a name that is only an ending, None for an unknown one."""
        entry = self._table.get(_normalize(word))
        return entry.role if entry else None

    @cached_property
    def _table(self) -> Mapping[str, _Entry]:
        words = self.vocabulary
        table = {ending: _Entry(None) for ending in words.others}
        for role, endings in words.images.items():
            for ending in endings:
                for rank, pattern in enumerate((*words.prepared, *words.plain)):
                    entry = _Entry(role, ending, rank, rank < len(words.prepared))
                    table.setdefault(pattern.format(ending), entry)
        for role, more in words.short.items():
            table.update({one: _Entry(role, role, 0, prepared) for one, prepared in more.items()})
        for rank, endings in enumerate(words.labels):
            table.update({ending: _Entry(LABEL, rank=rank) for ending in endings})
        table.update({ending: _Entry(role) for ending, role in self._own.items()})
        return table

    def is_label_of(self, name: str, case_id: str) -> bool:
        """Whether a label's name is a case's id with nothing but words about labels behind it.

        Args:
            name: The name of the label without its ending.
            case_id: The case.
        """
        rest = _normalize(name[len(case_id) :])
        words = [word for word in rest.split("_") if word]
        known = self.vocabulary.label_words
        return name.startswith(case_id) and rest[:1] in ("", "_") and all(word in known for word in words)

    def is_plain(self, text: str) -> bool:
        """Whether a part of a file name contains only words of imaging, and so identifies no patient."""
        words = [word for word in _normalize(text).split("_") if word]
        return bool(words) and all(word in self._plain_words for word in words)

    def how_to_name(self) -> str:
        """Return how a hospital adds an ending, for each command."""
        role, ending = self.vocabulary.example
        return (
            f"Say what they are: consilium check DIR --file-ending {role}={ending}; on a site "
            f'"file_endings": {{"{role}": ["{ending}"]}} in its scope in local/privacy.json.'
        )

    @cached_property
    def _plain_words(self) -> frozenset[str]:
        words = self.vocabulary
        endings = (*words.others, *(one for names in words.images.values() for one in names))
        return words.label_words | words.imaging_words | {one for name in endings for one in name.split("_")}


def _normalize(text: str) -> str:
    # Letter by letter: a few letters become two in lower case, and places in the name would no longer agree.
    lowered = (letter.lower() if len(letter.lower()) == 1 else letter for letter in text)
    return "".join(lowered).translate(str.maketrans("-. ", "___"))
