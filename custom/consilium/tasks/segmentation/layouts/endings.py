"""The one table of file name endings: which image a file holds, told by the last words of its name.

Names of public sets, each checked in code that reads it: BraTS to 2021 (`_t1ce`, `_seg`), BraTS since 2023
(`-t1n`, `-t1c`, `-t2w`, `-t2f`), UCSF-PDGM (`_T1c`, `_tumor_segmentation`; doi 10.7937/tcia.bdgf-8v37),
UPENN-GBM (`_T1GD`, `images_segm/<case>_segm`, `automated_segm/<case>_automated_approx_segm`; doi
10.7937/TCIA.709X-DN49), TCGA-GBM and -LGG (`_t1Gd`, `_GlistrBoost`, `_GlistrBoost_ManuallyCorrected`; doi
10.7937/K9/TCIA.2017.KLXWJJ1Q), FeTS (`_brain_t1gd`, `_final_seg`), CaPTk's BraTSPipeline
(`T1CE_to_SRI_brain`, `FL_to_SRI`), MU-Glioma-Post (`_brain_t1n`, `_tumorMask`), LUMIERE (`CT1`). A hospital
adds its own in its settings, `file_endings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from consilium.errors import ConfigurationError

LABEL: Final = "label"
"""The role of a reference segmentation, beside those of the modalities."""

# Words are joined by "_" here; in a file name "-", "." and a space do as well, and case does not matter.
_IMAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "t1": ("t1", "t1n", "t1w", "t1_pre", "t1pre"),
    "t1ce": (
        "t1ce",
        "t1c",
        "t1gd",
        "t1_ce",
        "t1_gd",
        "t1_post",
        "t1post",
        "ct1",
        "ce_t1",
        "ce_t1w",
        "t1w_ce",
    ),
    "t2": ("t2", "t2w"),
    "flair": ("flair", "t2f", "t2_flair", "t2flair"),
}
# The corrected label before the automatic one that it was made of.
_LABELS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "seg",
        "segm",
        "segmentation",
        "tumor_segmentation",
        "tumor_seg",
        "tumor_mask",
        "tumormask",
        "final_seg",
        "glistrboost_manuallycorrected",
    ),
    ("glistrboost", "automated_approx_segm"),
)
# Names of an image in a pipeline's output; the earlier the better.
_STRIPPED: Final = (
    "brain_{}",
    "{}_brain",
    "{}_to_sri_brain",
    "{}_bet",
    "{}_stripped",
    "{}_skullstripped",
    "{}_skull_stripped",
)
_PLAIN: Final = ("{}", "{}_to_sri")
# CaPTk shortens FLAIR, but only among such words.
_SHORT: Final = {"flair": ("brain_fl", "fl_to_sri_brain", "fl_to_sri")}
# Images and masks that lie beside the others and are none of them.
_OTHERS: Final = (
    *("adc", "asl", "dwi", "swi", "dti", "fa", "md", "ad", "rd", "tr", "l1", "l2", "l3", "cbf", "cbv", "pd"),
    *("dti_fa", "dti_md", "dti_ad", "dti_rd", "dti_tr", "dti_eddy_fa", "dti_eddy_md", "dti_eddy_noreg"),
    *("dti_eddy_l1", "dti_eddy_l2", "dti_eddy_l3", "adc_bias", "dwi_bias", "swi_bias"),
    *("t1_bias", "t1c_bias", "t2_bias", "flair_bias", "coverage"),
    *("t1_unstripped", "t1gd_unstripped", "t2_unstripped", "flair_unstripped"),
    *(
        "brain_mask",
        "brainmask",
        "brain_seg",
        "brain_segm",
        "brain_segmentation",
        "brain_parenchyma_segmentation",
    ),
)
_SINCE_2023: Final = frozenset({"t1n", "t2f"})
_SINCE_2023_WITH_HYPHEN: Final = frozenset({"t1c", "t2w"})
_NEUTRAL: Final = frozenset({"", "t1c", "t2w", "t2", "t1w"})
# Words that may stand between a case and its label: A_manual_seg is a label of A, A_2_seg need not be.
_LABEL_WORDS: Final = frozenset(
    (
        *(
            "seg",
            "segm",
            "segmentation",
            "label",
            "labels",
            "mask",
            "roi",
            "tumor",
            "tumour",
            "lesion",
            "glioma",
        ),
        *(
            "gt",
            "truth",
            "manual",
            "manually",
            "auto",
            "automated",
            "automatic",
            "final",
            "corrected",
            "expert",
        ),
        *("reviewed", "revised", "approved", "consensus", "fused", "staple", "rater", "reader"),
    )
)
# Words that name nobody either, but may say that a file is something else.
_IMAGING_WORDS: Final = frozenset(
    (
        *(
            "pre",
            "post",
            "reg",
            "registered",
            "native",
            "raw",
            "n4",
            "brain",
            "core",
            "whole",
            "tc",
            "wt",
            "et",
        ),
        *(
            "image",
            "map",
            "new",
            "old",
            "copy",
            "backup",
            "v1",
            "v2",
            "v3",
            "prob",
            "probability",
            "km",
            "gd",
        ),
        *(
            "ce",
            "contrast",
            "axial",
            "ax",
            "sag",
            "cor",
            "tse",
            "tra",
            "mprage",
            "space",
            "dicom",
            "ct",
            "pet",
        ),
    )
)


@dataclass(frozen=True)
class ParsedName:
    """What a file's name says.

    Args:
        case_id: What stands before the ending; empty where nothing does.
        role: A modality or `LABEL`; None for an image that is known and not used.
        rank: Of several files of one role the lowest is used: a corrected label before an automatic one.
        stripped: Whether the name says that the skull was removed.
        since_2023: Whether the names are those of BraTS since 2023; None where they may be of any year.
    """

    case_id: str
    role: str | None
    rank: int = 0
    stripped: bool = False
    since_2023: bool | None = None


@dataclass(frozen=True)
class _Entry:
    """An ending: what it means, and the plain one that it is made of."""

    role: str | None
    plain: str = ""
    rank: int = 0
    stripped: bool = False


class FileEndings:
    """The table, with what a hospital adds to it.

    Args:
        own: Modality, or `label`, to the endings that a hospital uses for it beside the known ones.

    Raises:
        ConfigurationError: An ending is none, or is given for a role that there is not or for two roles.

    Example:
        >>> FileEndings({"t1ce": ["T1_KM"]}).parse("P012_T1_KM")
        ParsedName(case_id='P012', role='t1ce', rank=0, stripped=False, since_2023=None)
    """

    def __init__(self, own: Mapping[str, Sequence[str]] | None = None) -> None:
        self._own: dict[str, str] = {}
        for role, endings in (own or {}).items():
            if role not in (*_IMAGES, LABEL):
                raise ConfigurationError(
                    f"file_endings names {role!r}; known: {', '.join((*_IMAGES, LABEL))}. {how_to_name()}"
                )
            for ending in endings:
                words = _normalize(ending).removesuffix("_gz").removesuffix("_nii").strip("_")
                if not words or "/" in ending or self._own.setdefault(words, role) != role:
                    raise ConfigurationError(
                        f"file_endings gives {role} the ending {ending!r}: it needs letters or digits and "
                        f"belongs to one kind of file. {how_to_name()}"
                    )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Canonical names of the modalities that have endings."""
        return tuple(_IMAGES)

    def parse(self, stem: str) -> ParsedName | None:
        """What a file name without `.nii.gz` says; None if it ends in nothing known.

        Args:
            stem: The name.
        """
        normal = _normalize(stem)
        start = -1
        while True:  # the longest ending first: A_brain_segmentation is no segmentation of the tumor
            entry = self._table.get(normal[start + 1 :])
            if entry is not None:
                break
            start = normal.find("_", start + 1)
            if start < 0:
                return None
        case_id = stem[: max(start, 0)].rstrip("-_. ")
        hyphen = start > 0 and stem[start] == "-"
        since_2023 = _is_since_2023(entry.plain, hyphen=hyphen)
        return ParsedName(case_id, entry.role, entry.rank, entry.stripped, since_2023)

    def role_of(self, word: str) -> str | None:
        """The role of an ending that stands alone, None for an unknown one."""
        entry = self._table.get(_normalize(word))
        return entry.role if entry else None

    @cached_property
    def _table(self) -> Mapping[str, _Entry]:
        table = {ending: _Entry(None) for ending in _OTHERS}
        for role, endings in _IMAGES.items():
            for ending in endings:
                for rank, pattern in enumerate((*_STRIPPED, *_PLAIN)):
                    table.setdefault(pattern.format(ending), _Entry(role, ending, rank, pattern in _STRIPPED))
        for role, endings in _SHORT.items():
            table.update({one: _Entry(role, role, 0, "brain" in one) for one in endings})
        for rank, endings in enumerate(_LABELS):
            table.update({ending: _Entry(LABEL, rank=rank) for ending in endings})
        table.update({ending: _Entry(role) for ending, role in self._own.items()})
        return table


def is_label_of(name: str, case_id: str) -> bool:
    """Whether a label's name is a case's id with nothing but words about labels behind it.

    Args:
        name: The name of the label without its ending.
        case_id: The case.
    """
    rest = _normalize(name[len(case_id) :])
    words = [word for word in rest.split("_") if word]
    return name.startswith(case_id) and rest[:1] in ("", "_") and all(word in _LABEL_WORDS for word in words)


def is_plain_ending(text: str) -> bool:
    """Whether a part of a file name holds nothing but words of imaging: it then names nobody."""
    words = [word for word in _normalize(text).split("_") if word]
    known = {word for ending in (*_OTHERS, *sum(_IMAGES.values(), ())) for word in ending.split("_")}
    return bool(words) and all(word in known | _LABEL_WORDS | _IMAGING_WORDS for word in words)


def how_to_name() -> str:
    """How a hospital adds an ending, for each command."""
    return (
        'Say what they are: consilium check DIR --file-ending t1ce=T1_KM; on a site "file_endings": '
        '{"t1ce": ["T1_KM"]} in its scope in local/privacy.json.'
    )


def _normalize(text: str) -> str:
    # Letter by letter: a few letters become two in lower case, and places in the name would no longer agree.
    lowered = (letter.lower() if len(letter.lower()) == 1 else letter for letter in text)
    return "".join(lowered).translate(str.maketrans("-. ", "___"))


def _is_since_2023(plain: str, *, hyphen: bool) -> bool | None:
    if plain in _SINCE_2023 or (hyphen and plain in _SINCE_2023_WITH_HYPHEN):
        return True
    return None if plain in _NEUTRAL else False
