"""Codes of problems with volumes and their labels."""

from consilium.data.problem_code import ProblemCode, error, info, warning


class VolumeCode(ProblemCode):
    """Codes of grids, headers, intensities and label values."""

    # Files
    MISNAMED_FILE = warning(
        "misnamed_file",
        "compression not as named",
        "Name compressed files .nii.gz and others .nii; other tools need it.",
    )
    UNUSUAL_DTYPE = info(
        "unusual_dtype",
        "unusual number type",
        "Store images as int16 or float32 and labels as uint8; it saves disk and time.",
    )
    # Grids
    NOT_3D = error(
        "not_3d",
        "wrong number of axes",
        "Export one 3D volume per file (Decathlon: one 4D file with every modality).",
    )
    INVALID_AFFINE = error(
        "invalid_affine",
        "invalid affine",
        "Export the file with a valid position and voxel size in its header.",
    )
    SHAPE_MISMATCH = error(
        "shape_mismatch",
        "shapes differ within the case",
        "Register every image and the label of the case to one grid.",
    )
    AFFINE_MISMATCH = error(
        "affine_mismatch",
        "positions differ within the case",
        "Register every image and the label of the case to one position in space.",
    )
    LABEL_WITHOUT_POSITION = error(
        "label_without_position",
        "label without a position",
        "Copy the image's header to the label, for example with FSL's fslcpgeom, and look that it fits.",
    )
    NO_ORIENTATION = warning(
        "no_orientation",
        "header without orientation",
        "Export the file with its orientation (qform or sform): left and right are a guess without it.",
    )
    INEXACT_QFORM = warning(
        "inexact_qform",
        "quaternion longer than 1",
        "Save the file again: the rounded quaternion is read here, but rejected by nibabel and others.",
    )
    CONFLICTING_AFFINES = warning(
        "conflicting_affines",
        "header with two orientations",
        "Make qform and sform agree: programs that read the other one see another position.",
    )
    UNIT_NOT_MM = warning(
        "unit_not_mm",
        "unit is not mm",
        "Store the voxel size in mm and say so in the header; it is read as mm.",
    )
    OTHER_SPACING = info(
        "other_spacing",
        "voxel size is not the job's",
        "Nothing to do: images are resampled; results are on the original voxels.",
    )
    THICK_SLICES = info(
        "thick_slices",
        "thick slices",
        "Prefer the thinnest series that was acquired.",
    )
    IMPLAUSIBLE_SIZE = warning(
        "implausible_size",
        "implausible size",
        "Correct the voxel size in the header, or check what the image shows.",
    )
    # Intensities
    NON_FINITE = error(
        "non_finite",
        "NaN, infinite or absurd voxels",
        "Replace NaN and infinite voxels, usually left by an earlier processing step.",
    )
    CONSTANT_IMAGE = error(
        "constant_image",
        "image without contrast",
        "Export the image again: it holds no anatomy.",
    )
    LITTLE_CONTRAST = warning(
        "little_contrast",
        "most voxels have one value",
        "Look at the image: it may be a mask, or another map, and no image of a patient.",
    )
    NEGATIVE_INTENSITY = warning(
        "negative_intensity",
        "negative intensities",
        "Use images as acquired, without an earlier normalization or filter.",
    )
    CLIPPED_INTENSITY = warning(
        "clipped_intensity",
        "clipped intensities",
        "Export the image without a window: its brightest voxels are cut off.",
    )
    EIGHT_BIT = warning(
        "eight_bit",
        "eight-bit intensities",
        "Export the image with all of its gray levels (16 bits).",
    )
    HOT_VOXELS = warning(
        "hot_voxels",
        "voxels far beyond all others",
        "Look at the image: overflow, wrapped numbers or spikes; they are clipped, not corrected.",
    )
    STRAY_VOXELS = warning(
        "stray_voxels",
        "voxels apart from the rest",
        "Set the background to 0; these voxels are not used and nothing is predicted there.",
    )
    ODD_SLICE = warning(
        "odd_slice",
        "slice unlike its neighbors",
        "Look at the image: a slice was acquired, converted or stored wrongly.",
    )
    NONZERO_BACKGROUND = error(
        "nonzero_background",
        "background is not 0",
        "Set everything around the imaged part of the body to 0: only the rest is normalized.",
        acceptable=True,
    )
    # Images of one case
    DUPLICATE_MODALITY = error(
        "duplicate_modality",
        "one image under two modalities",
        "Replace the copy by the image of its own modality.",
        acceptable=True,
    )
    NOT_REGISTERED = warning(
        "not_registered",
        "images are not aligned",
        "Overlay the images: their outlines must match.",
    )
    # Labels
    AMBIGUOUS_CONVENTION = error(
        "ambiguous_convention",
        "label values have two readings",
        "Say which reading is right: set label_convention for the site.",
    )
    BAD_LABEL_VALUE = error(
        "bad_label_value",
        "unknown label value",
        "Correct the label so that it holds only the values of its convention.",
    )
    OTHER_CONVENTION = error(
        "other_convention",
        "label of another convention",
        "Convert the label to the site's convention, or set label_convention.",
    )
    LABEL_NOT_WHOLE = warning(
        "label_not_whole",
        "label values are not whole numbers",
        "Save the label as uint8 without scaling; values within 0.001 of a whole number are rounded.",
    )
    EMPTY_LABEL = error(
        "empty_label",
        "empty label",
        "Draw the label, or remove the label file: the case then counts as unlabeled.",
        acceptable=True,
    )
