"""Vocabulary of brain tumor cohorts: file names of images, and releases of datasets.

Names of public sets, each checked in code that reads it: BraTS to 2021 (`_t1ce`, `_seg`), BraTS since 2023
(`-t1n`, `-t1c`, `-t2w`, `-t2f`), UCSF-PDGM (`_T1c`, `_tumor_segmentation`; doi 10.7937/tcia.bdgf-8v37),
UPENN-GBM (`_T1GD`, `images_segm/<case>_segm`, `automated_segm/<case>_automated_approx_segm`; doi
10.7937/TCIA.709X-DN49), TCGA-GBM and -LGG (`_t1Gd`, `_GlistrBoost`, `_GlistrBoost_ManuallyCorrected`; doi
10.7937/K9/TCIA.2017.KLXWJJ1Q), FeTS (`_brain_t1gd`, `_final_seg`), CaPTk's BraTSPipeline
(`T1CE_to_SRI_brain`, `FL_to_SRI`), MU-Glioma-Post (`_brain_t1n`, `_tumorMask`), LUMIERE (`CT1`). A hospital
adds its own in its settings, `file_endings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consilium.tasks.brain_tumor.patient_names import PATIENT_NAMES
from consilium.tasks.segmentation.layouts.vocabulary import (
    IMAGING_WORDS,
    LABEL,
    LABEL_WORDS,
    BidsNames,
    KnownSet,
    Vocabulary,
)

UNTIL_2021: Final = "brats-2018"
SINCE_2023: Final = "brats-2023"
"""Releases of BraTS whose names, and labels, differ."""

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
_SHORT: Final = {"flair": {"brain_fl": True, "fl_to_sri_brain": True, "fl_to_sri": False}}
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
# A_manual_seg is a label of A, A_2_seg need not be.
_LABEL_WORDS: Final = LABEL_WORDS | {"tumor", "tumour", "glioma"}
_IMAGING_WORDS: Final = (IMAGING_WORDS - {"mri"}) | {
    *("n4", "brain", "tc", "wt", "et"),
    *("km", "gd", "ce", "tse", "tra", "mprage", "space"),
}


def _release(plain: str, hyphen: bool) -> str | None:
    """Of which release of BraTS a name is."""
    if plain in _SINCE_2023 or (hyphen and plain in _SINCE_2023_WITH_HYPHEN):
        return SINCE_2023
    return None if plain in _NEUTRAL else UNTIL_2021


WORDS: Final = Vocabulary(
    images=_IMAGES,
    labels=_LABELS,
    prepared=_STRIPPED,
    plain=_PLAIN,
    short=_SHORT,
    others=_OTHERS,
    label_words=_LABEL_WORDS,
    imaging_words=_IMAGING_WORDS,
    naming=_release,
    namings={UNTIL_2021: "brats-2018 or the like", SINCE_2023: "brats-2023"},
    layouts={SINCE_2023: "brats-2023"},
    plain_layout=("brats-2018", r"(?i).+_(?:t1|t1ce|t2|flair|segm?)"),
    bids=BidsNames(
        suffixes={"T1w": "t1", "T2w": "t2", "FLAIR": "flair", "dseg": LABEL, "mask": LABEL},
        enhanced={"t1": "t1ce"},
        label=r"(?i)-(?:[a-z]*(?:tumou?r|lesion|glioma))",
        anatomy=r"(?i)(?:aseg|aparc|tissue|brain|atlas)",
        prepared=r"(?i)_desc-(?:brain|skullstripp?ed|stripped|bet)",
    ),
    # BraTS 2020 ships case 355 with its label as W39_1998.09.19_Segm.nii.
    misnamed_labels={"W39_1998.09.19": r".*355$"},
    known_sets=(KnownSet(r"BRATS_\d+", ("flair", "t1", "t1ce", "t2")),),
    patient_names=PATIENT_NAMES,
    example_ending=("t1ce", "T1_KM"),
    expects=(
        "brats-2018: <case>_t1 _t1ce _t2 _flair _seg; brats-2023: <case>-t1n -t1c -t2w -t2f -seg; "
        "the endings of other collections in docs/data.md; t1 t1ce t2 flair seg alone in a folder for each "
        "case; BIDS: sub-<label>_T1w, _ce-gadolinium_T1w, _T2w, _FLAIR, all .nii or .nii.gz"
    ),
    needs="a brain tumor cohort needs FLAIR, T1w, t1gd and T2w",
    decathlon_example=(
        '{"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, '
        '"labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}}'
    ),
    nnunet_example=(
        '{"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}, '
        '"labels": {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumor": 3}}'
    ),
    after_dicom="register the images of a case to one another and remove the skull",
)
"""The words of the task."""
