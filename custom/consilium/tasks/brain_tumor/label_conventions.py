"""Label conventions of brain tumor cohorts, and the canonical tissues.

The same number means different tissues in different releases: enhancing tumor is 4 until BraTS 2021, 3 from
2023 on and 1 in children, BraTS 2024 gives 4 to the resection cavity, and the Decathlon swaps 1 and 2.
The wrong reading trains a model without any error, so nothing past preprocessing sees the values of a file.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum


class Tissue(IntEnum):
    """The value of each tissue in a canonical label."""

    BACKGROUND = 0
    NECROTIC_CORE = 1
    """Necrotic, cystic and non-enhancing tumor core."""
    EDEMA = 2
    """Peritumoral edema and infiltration."""
    ENHANCING = 3
    RESECTION_CAVITY = 4


class LabelConvention(str, Enum):
    """Meaning of the numbers in a site's label files."""

    BRATS_2015 = "brats-2015"
    """BraTS 2012 to 2015: 3 is non-enhancing tumor (Menze et al. 2015, doi 10.1109/TMI.2014.2377694)."""
    BRATS_2018 = "brats-2018"
    """BraTS 2018 to 2021: 4 is enhancing tumor and 3 is unused."""
    BRATS_2023 = "brats-2023"
    BRATS_2024 = "brats-2024"
    """BraTS 2024, after treatment: as 2023, and 4 is the resection cavity."""
    BRATS_PED_2024 = "brats-ped-2024"
    """BraTS-PEDs 2024, children: 1 enhancing, 2 non-enhancing tumor, 3 cystic component, 4 edema.

    Tumor core is 1, 2 and 3 there (arXiv 2404.15009), so a cyst counts as non-enhancing core. BraTS-PEDs 2023
    had the values of `brats-2023`, cysts among its 1 (arXiv 2305.17033).
    """
    DECATHLON = "decathlon"
    """Medical Segmentation Decathlon, Task01: 1 is edema, 2 the non-enhancing core."""

    @property
    def values(self) -> Mapping[int, Tissue]:
        """File value to tissue, background included."""
        return _VALUES[self]


_VALUES: Mapping[LabelConvention, Mapping[int, Tissue]] = {
    LabelConvention.BRATS_2015: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        3: Tissue.NECROTIC_CORE,
        4: Tissue.ENHANCING,
    },
    LabelConvention.BRATS_2018: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        4: Tissue.ENHANCING,
    },
    LabelConvention.BRATS_2023: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        3: Tissue.ENHANCING,
    },
    LabelConvention.BRATS_2024: {
        0: Tissue.BACKGROUND,
        1: Tissue.NECROTIC_CORE,
        2: Tissue.EDEMA,
        3: Tissue.ENHANCING,
        4: Tissue.RESECTION_CAVITY,
    },
    LabelConvention.BRATS_PED_2024: {
        0: Tissue.BACKGROUND,
        1: Tissue.ENHANCING,
        2: Tissue.NECROTIC_CORE,
        3: Tissue.NECROTIC_CORE,
        4: Tissue.EDEMA,
    },
    LabelConvention.DECATHLON: {
        0: Tissue.BACKGROUND,
        1: Tissue.EDEMA,
        2: Tissue.NECROTIC_CORE,
        3: Tissue.ENHANCING,
    },
}
