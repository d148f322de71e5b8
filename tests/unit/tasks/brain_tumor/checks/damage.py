"""A corpus of wrong data: ways to damage one case of a hospital in the layout of BraTS 2018 to 2021.

Each damage is a function of the hospital's folder, the case, and another case of the same hospital.
"""

import gzip
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Apply = Callable[[Path, str, str], None]
IMAGES = ("t1", "t1ce", "t2", "flair")
_ALIKE = "possible_same_examination duplicate_examination"


@dataclass(frozen=True)
class Damage:
    """One way to damage a case.

    Args:
        name: What is done.
        codes: What has to be found: one of these.
        apply: Does it.
        severe: Whether it changes what a label means, or mixes patients.
        also: Whether the other case may be found as well, as it takes part.
        follows: What is then true of the case as well, and may be found.
        needs: A label value without which nothing is changed.
    """

    name: str
    codes: frozenset[str]
    apply: Apply
    severe: bool = False
    also: bool = False
    follows: frozenset[str] = frozenset()
    needs: int | None = None


def damages() -> Iterator[Damage]:
    """Every single damage."""

    def one(name: str, codes: str, apply: Apply, *, follows: str = "", **options: Any) -> Damage:
        return Damage(name, frozenset(codes.split()), apply, follows=frozenset(follows.split()), **options)

    # Files
    yield one("a modality is missing", "missing_modality", lambda h, c, o: _file(h, c, "t2").unlink())
    yield one("a modality is there twice", "duplicate_file", _twice)
    yield one("the id is there twice", "duplicate_case", _same_id, severe=True)
    yield one("half a file", "truncated", _bytes("flair", lambda raw: raw[: len(raw) // 2]))
    yield one("half a label", "truncated", _bytes("seg", lambda raw: raw[: len(raw) // 2]))
    yield one("the last bytes are missing", "truncated", _bytes("t1", lambda raw: raw[:-3]))
    yield one("a file ends in its header", "truncated unreadable", _bytes("t1", lambda raw: raw[:40]))
    yield one("bytes are flipped", "truncated", _bytes("t2", _flip_bytes))
    yield one("gzip by its first bytes alone", "truncated", _bytes("t1ce", lambda raw: raw[:2] + b"\0" * 99))
    yield one("text in place of an image", "unreadable", _bytes("flair", lambda raw: b"moved to /archive\n"))
    yield one("an empty file", "empty_file", _bytes("t2", lambda raw: b""))
    yield one(
        "a Git LFS pointer",
        "pointer_file",
        _bytes("t1", lambda raw: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n"),
    )
    yield one("a git-annex pointer", "pointer_file", _bytes("t1", lambda raw: b"/annex/objects/SHA256E-s1\n"))
    yield one("a link to nothing", "dangling_link", _dangle)
    yield one("bytes behind gzip", "trailing_bytes", _bytes("t1ce", lambda raw: raw + b"<html>"))
    yield one(
        "an image without its end", "truncated", _bytes("t1", lambda raw: gzip.compress(_plain(raw)[:-9], 1))
    )
    yield one("not compressed, named .gz", "misnamed_file", _bytes("t1", gzip.decompress))
    yield one("compressed, not named .gz", "misnamed_file", _misname)
    yield one("float64", "unusual_dtype", _array("t2", lambda a: a.astype(np.float64)))
    yield one("a label of floats", "unusual_dtype", _array("seg", lambda a: a.astype(np.float32)))
    yield one("complex numbers", "unreadable", _array("t2", lambda a: a.astype(np.complex64)))
    yield one("colors", "unreadable", _array("t1", _colors))
    # Headers
    yield one("a name", "identifying_header", _header("t1", db_name=b"DOE^JANE"))
    yield one("a date", "identifying_header", _header("flair", descrip=b"acquired 2019-03-04"))
    yield one("an id", "identifying_header", _header("seg", aux_file=b"MRN 00471182"))
    yield one("a DICOM header", "identifying_header", _extension(2, b"\x10\0\x10\0PN\4\0DOE "))
    yield one("a comment with an id", "identifying_header", _extension(6, b"patient: 4711"))
    yield one("a comment", "header_text", _extension(6, b"second reading"))
    # Grids
    yield one("4D", "not_3d", _array("t1", lambda a: np.stack([a, a], axis=3)))
    yield one("4D label", "not_3d", _array("seg", lambda a: np.stack([a, a], axis=3)))
    yield one("2D", "not_3d", _array("flair", lambda a: a[:, :, a.shape[2] // 2]))
    yield one("affine of NaN", "invalid_affine", _affine("t2", lambda m: m * np.nan))
    yield one("flat affine", "invalid_affine", _affine("t1", lambda m: m @ np.diag([1.0, 1.0, 0.0, 1.0])))
    yield one("other shape", "shape_mismatch", _array("t1", lambda a: a[:, :, 1:]))
    yield one("label of another shape", "shape_mismatch", _array("seg", lambda a: a[2:]), severe=True)
    yield one("other position", "affine_mismatch", _affine("flair", lambda m: _move(m, 5.0)))
    yield one(
        "label at another position", "affine_mismatch", _affine("seg", lambda m: _move(m, 9.0)), severe=True
    )
    yield one(
        "label mirrored by its affine",
        "affine_mismatch",
        _affine("seg", lambda m: m @ np.diag([-1.0, 1, 1, 1])),
        severe=True,
    )
    yield one("other voxel size", "affine_mismatch", _affine("t2", lambda m: m @ np.diag([1.1, 1.1, 1.1, 1])))
    yield one("no orientation", "no_orientation", _forms(lambda image: (None, None)))
    yield one(
        "two orientations",
        "conflicting_affines",
        _forms(lambda image: (image.affine, _move(image.affine, 30.0))),
    )
    yield one("a quaternion longer than 1", "inexact_qform", _long_quaternion, follows="conflicting_affines")
    yield one("meters", "unit_not_mm", _header("t1", xyzt_units=1))
    yield one(
        "ten times the size",
        "implausible_size invalid_affine",
        _all_affines(lambda m: np.diag([10.0, 10, 10, 1]) @ m),
        follows="not_skull_stripped",
    )
    yield one("half a brain", "partial_coverage", _all_images(_half), follows="label_outside_brain")
    # Intensities
    yield one("NaN", "non_finite", _array("t1ce", lambda a: _put(a.astype(np.float32), np.nan)))
    yield one("infinity", "non_finite", _array("t2", lambda a: _put(a.astype(np.float32), np.inf)))
    yield one("one value", "constant_image", _array("flair", lambda a: (a != 0).astype(np.int16)))
    yield one("nothing", "constant_image", _array("t1", np.zeros_like))
    yield one(
        "negative",
        "negative_intensity",
        _array("t1", lambda a: np.where(a != 0, a - int(np.median(a[a != 0])), 0).astype(np.int16)),
    )
    yield one(
        "clipped",
        "clipped_intensity",
        _array("t2", lambda a: np.minimum(a, int(np.percentile(a[a != 0], 97)))),
    )
    yield one(
        "eight bits", "eight_bit", _array("flair", lambda a: np.rint(a / a.max() * 255).astype(np.uint8))
    )
    yield one(
        "eight bits, scaled",
        "eight_bit",
        _array("t1", lambda a: (np.rint(a / a.max() * 200) * 3.7).astype(np.float32)),
    )
    yield one("noise around the head", "nonzero_background", _all_images(_noise))
    yield one(
        "normalized with its background",
        "nonzero_background",
        _all_images(lambda a: (a / a.std() - 0.7).astype(np.float32)),
        follows="negative_intensity",
    )
    yield one("skull and scalp", "not_skull_stripped", _each(IMAGES, lambda kind: _sized(kind, _scalp)))
    yield from hot_damages()
    yield one("bright voxels in the background", "stray_voxels", _array("t2", _stray))
    # Modalities
    yield one("T1 for T1ce", "duplicate_modality", _copy_image("t1", "t1ce"))
    yield one("T1 times 1.7 for T1ce", "duplicate_modality", _scaled_copy("t1", "t1ce", 1.7))
    yield one("FLAIR in eight bits for T2", "duplicate_modality", _scaled_copy("flair", "t2", None))
    yield one("T2 for FLAIR", "duplicate_modality", _copy_image("t2", "flair"))
    for first, second in (
        ("t1", "t2"),
        ("t2", "flair"),
        ("t1", "flair"),
        ("t1", "t1ce"),
        ("t1ce", "flair"),
        ("t1ce", "t2"),
    ):
        yield one(
            f"{first} and {second} swapped", "swapped_modalities", _rename({first: second, second: first})
        )
    yield one(
        "all four in another order",
        "swapped_modalities",
        _rename({"flair": "t1", "t1": "t1ce", "t1ce": "t2", "t2": "flair"}),
    )
    yield one("an image moved", "not_registered", _sized("t2", lambda a, mm: _shift(a, 8 / mm)))
    yield one("an image mirrored", "not_registered", _array("t1ce", lambda a: a[::-1]))
    yield one("an image upside down", "not_registered", _array("flair", lambda a: a[:, :, ::-1]))
    yield one(
        "an image turned",
        "not_registered",
        _array("t1", lambda a: ndimage.rotate(a, 12, (0, 1), reshape=False, order=1)),
    )
    yield one(
        "another patient's image", "shared_image not_registered", _foreign("t2"), severe=True, also=True
    )
    # Labels
    yield one("values that rounding moved", "label_not_whole", _label(lambda a: a * np.float32(1.0000153)))
    yield one("enhancing tumor as core", "label_values_swapped", _label(lambda a: np.where(a == 4, 1, a)))
    yield one("the brain mask", "label_covers_brain", _brain_mask, severe=True)
    yield one(
        "a label without a position",
        "label_without_position",
        _affine("seg", lambda m: np.eye(4)),
        severe=True,
    )
    yield one("an unknown value", "bad_label_value", _label(lambda a: _mark(a, 7)), severe=True)
    yield one(
        "a fraction", "bad_label_value", _label(lambda a: _mark(a.astype(np.float32), 1.5)), severe=True
    )
    yield one(
        "a negative value", "bad_label_value", _label(lambda a: _mark(a.astype(np.int16), -1)), severe=True
    )
    yield one("an image as label", "bad_label_value", _copy_image("flair", "seg"), severe=True)
    yield one(
        "the other era",
        "other_convention ambiguous_convention",
        _label(lambda a: np.where(a == 4, 3, a)),
        severe=True,
        needs=4,
    )
    yield one(
        "whole-tumor masks at the whole site",
        "doubtful_convention ambiguous_convention",
        _whole_tumor,
        severe=True,
        also=True,
    )
    yield one("an empty label", "empty_label", _label(np.zeros_like), severe=True)
    yield one(
        "a label beside the brain",
        "label_outside_brain label_shifted label_mismatch",
        _label(_beside),
        severe=True,
    )
    yield one(
        "a label moved",
        "label_shifted label_outside_brain",
        _sized("seg", lambda a, mm: _shift(a, 10 / mm)),
        severe=True,
    )
    yield one(
        "a label moved up",
        "label_shifted label_outside_brain",
        _sized("seg", lambda a, mm: _shift(a, 10 / mm, axis=2)),
        severe=True,
    )
    yield one(
        "a label mirrored", "label_mirrored label_outside_brain", _label(lambda a: a[::-1]), severe=True
    )
    yield one(
        "a label mirrored front to back",
        "label_mirrored label_outside_brain",
        _label(lambda a: a[:, ::-1]),
        severe=True,
    )
    yield one(
        "a label turned by 180 degrees",
        "label_mirrored label_outside_brain",
        _label(lambda a: a[::-1, ::-1]),
        severe=True,
    )
    yield one(
        "another patient's label",
        "shared_label label_mismatch label_shifted label_mirrored label_outside_brain",
        _foreign("seg"),
        severe=True,
        also=True,
        follows="label_values_swapped",
    )
    yield one(
        "edema and core exchanged", "label_values_swapped", _label(lambda a: _exchange(a, 1, 2)), severe=True
    )
    yield one(
        "edema and enhancing exchanged",
        "label_values_swapped",
        _label(lambda a: _exchange(a, 2, 4)),
        severe=True,
    )
    # Patients
    yield one("the examination under another id", "duplicate_examination", _other_id, severe=True, also=True)
    yield one(
        "the examination brighter under another id",
        "duplicate_examination",
        _other_id_as(lambda a, mm: a if a.dtype == np.uint8 else np.rint(a * 1.1)),
        severe=True,
        also=True,
    )
    yield one("the examination turned under another id", _ALIKE, _other_id_as(_turn), severe=True, also=True)
    yield one(
        "the examination blurred under another id",
        _ALIKE,
        _other_id_as(lambda a, mm: _within(a, ndimage.gaussian_filter(a.astype(np.float32), 2 / mm))),
        severe=True,
        also=True,
    )
    yield one(
        "the examination resampled under another id", _ALIKE, _other_id_as(_coarser), severe=True, also=True
    )
    yield one(
        "another visit",
        "possible_same_patient",
        _visit("_pre"),
        severe=True,
        follows="possible_same_examination",
    )
    yield one(
        "another visit by its date",
        "possible_same_patient",
        _visit("_20190304"),
        severe=True,
        follows="possible_same_examination",
    )
    yield one(
        "another visit by a number",
        "possible_same_patient",
        _visit("_2"),
        severe=True,
        follows="possible_same_examination",
    )


def hot_damages() -> Iterator[Damage]:
    """Ways in which a few voxels get values that no tissue has."""

    def one(name: str, apply: Apply, **options: Any) -> Damage:
        follows = frozenset({"stray_voxels", "odd_slice", "negative_intensity", "clipped_intensity"})
        return Damage(name, frozenset({"hot_voxels"}), apply, follows=follows, **options)

    yield one("hot voxels in the brain", _array("t1", lambda a: _spots(a, a != 0, 60, 65530)))
    yield one("a hot voxel", _array("t2", lambda a: _spots(a, a != 0, 1, 65530)))
    yield one("hot voxels in the background", _array("flair", lambda a: _spots(a, a == 0, 30, 32767)))
    yield one("hot voxels inside and outside", _array("t1ce", lambda a: _spots(a, a == a, 90, 32000)))
    yield one("dark voxels wrapped", _array("t2", _wrap))
    yield one("a rim at the largest value", _array("t1ce", _saturate_rim))
    yield one("a spiked slice", _array("flair", _spike))
    yield one("far negative voxels", _array("t1", lambda a: _spots(a, a != 0, 40, -32768)))
    yield one(
        "hot voxels in floats",
        _array("flair", lambda a: _spots(a.astype(np.float32) / 4096, a != 0, 60, 1e6)),
    )


def combined() -> Iterator[tuple[Damage, Damage]]:
    """Pairs of damages to one case, both of which have to be found."""
    by_name = {damage.name: damage for damage in damages()}
    for first, second in (
        ("a name", "half a file"),
        ("a date", "a label mirrored"),
        ("NaN", "half a file"),
        ("NaN", "one value"),
        ("clipped", "a label moved"),
        ("meters", "t1 and t2 swapped"),
        ("eight bits", "an empty label"),
        ("negative", "eight bits"),
    ):
        yield by_name[first], by_name[second]


def _file(hospital: Path, case: str, kind: str) -> Path:
    return hospital / case / f"{case}_{kind}.nii.gz"


def _bytes(kind: str, change: Callable[[bytes], bytes]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = _file(hospital, case, kind)
        path.write_bytes(change(path.read_bytes()))

    return apply


def _array(kind: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return _sized(kind, lambda array, voxel_mm: change(array))


def _sized(kind: str, change: Callable[[NDArray[Any], float], NDArray[Any]]) -> Apply:
    """A change that depends on the edge of a voxel in mm."""

    def apply(hospital: Path, case: str, other: str) -> None:
        path = _file(hospital, case, kind)
        image = nib.load(path)
        array = change(np.asanyarray(image.dataobj), float(image.header.get_zooms()[0]))
        changed = nib.Nifti1Image(array, image.affine)
        changed.header.set_xyzt_units("mm")
        changed.to_filename(path)

    return apply


def _label(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return _array("seg", change)


def _each(kinds: tuple[str, ...], make: Callable[[str], Apply]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        for kind in kinds:
            make(kind)(hospital, case, other)

    return apply


def _all_images(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return _each(IMAGES, lambda kind: _array(kind, change))


def _all_affines(change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    return _each((*IMAGES, "seg"), lambda kind: _affine(kind, change))


def _affine(kind: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = _file(hospital, case, kind)
        image = nib.load(path)
        matrix = np.array(change(image.affine))
        changed = nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine)
        changed.header.set_xyzt_units("mm")
        changed.header["qform_code"], changed.header["sform_code"] = 0, 1
        for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
            changed.header[name] = matrix[row]
        path.write_bytes(gzip.compress(_with_header(changed), 1))

    return apply


def _with_header(image: nib.Nifti1Image) -> bytes:
    """The file's bytes with the header as it is, which nibabel would correct."""
    header = image.header.copy()
    content = bytearray(image.to_bytes())
    header["vox_offset"], header["magic"] = 352, b"n+1"
    content[:348] = header.binaryblock
    return bytes(content)


def _header(kind: str, **fields: Any) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = _file(hospital, case, kind)
        image = nib.load(path)
        for name, value in fields.items():
            image.header[name] = value
        nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header).to_filename(path)

    return apply


def _extension(code: int, content: bytes) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        path = _file(hospital, case, "t2")
        image = nib.load(path)
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, content))
        nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, image.header).to_filename(path)

    return apply


def _forms(choose: Callable[[Any], tuple[Any, Any]]) -> Apply:
    def make(kind: str) -> Apply:
        def apply(hospital: Path, case: str, other: str) -> None:
            path = _file(hospital, case, kind)
            image = nib.load(path)
            sform, qform = choose(image)
            changed = nib.Nifti1Image(np.asanyarray(image.dataobj), None)
            changed.header.set_zooms(image.header.get_zooms())
            changed.header.set_sform(sform, 1 if sform is not None else 0)
            changed.header.set_qform(qform, 1 if qform is not None else 0)
            path.write_bytes(gzip.compress(changed.to_bytes(), 1))

        return apply

    return _each((*IMAGES, "seg"), make)


def _twice(hospital: Path, case: str, other: str) -> None:
    path = _file(hospital, case, "t1")
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


def _misname(hospital: Path, case: str, other: str) -> None:
    path = _file(hospital, case, "t1")
    path.rename(path.with_suffix(""))


def _same_id(hospital: Path, case: str, other: str) -> None:
    shutil.copytree(hospital / other, hospital / "again" / case)
    for path in (hospital / "again" / case).iterdir():
        path.rename(path.with_name(path.name.replace(other, case)))


def _other_id(hospital: Path, case: str, other: str) -> None:
    """The copy gets the damaged case's id; compressed anew and turned to another orientation."""
    for kind in (*IMAGES, "seg"):
        image = nib.load(_file(hospital, other, kind))
        turned = nib.as_closest_canonical(image)
        array = np.asanyarray(turned.dataobj)
        turned = nib.Nifti1Image(array.astype(np.float32) if kind in IMAGES else array, turned.affine)
        _file(hospital, case, kind).write_bytes(gzip.compress(turned.to_bytes(), 9))


def _other_id_as(change: Callable[[NDArray[Any], float], NDArray[Any]]) -> Apply:
    """The copy gets the damaged case's id, and other voxels; the change is told the voxel size in mm."""

    def apply(hospital: Path, case: str, other: str) -> None:
        for kind in (*IMAGES, "seg"):
            image = nib.load(_file(hospital, other, kind))
            array = np.asanyarray(image.dataobj)
            mm = float(image.header.get_zooms()[0])
            changed = change(array.astype(np.uint8 if kind == "seg" else np.float32), mm)
            nib.save(nib.Nifti1Image(changed, image.affine), _file(hospital, case, kind))

    return apply


def _turn(array: NDArray[Any], mm: float) -> NDArray[Any]:
    """Rotate by 5 degrees and move by a voxel; nearest voxels for a label."""
    label = array.dtype == np.uint8
    turned = ndimage.rotate(array, 5, (0, 1), reshape=False, order=0 if label else 1)
    turned = turned if label else _within(_turned_mask(array), turned)
    return np.roll(turned, 1, axis=2)


def _coarser(array: NDArray[Any], mm: float) -> NDArray[Any]:
    """Lose every second voxel along each axis and fill in between."""
    label = array.dtype == np.uint8
    kept = array[::2, ::2, ::2] if label else ndimage.gaussian_filter(array, 0.6)[::2, ::2, ::2]
    filled = ndimage.zoom(kept, np.divide(array.shape, kept.shape), order=0 if label else 1)
    return filled if label else _within(array, filled)


def _turned_mask(array: NDArray[Any]) -> NDArray[Any]:
    mask = (array != 0).astype(np.float32)
    return ndimage.rotate(mask, 5, (0, 1), reshape=False, order=1) > 0.5


def _within(mask: NDArray[Any], array: NDArray[Any]) -> NDArray[Any]:
    """A label as it is; an image with 0 outside of the brain."""
    if mask.dtype == np.uint8:
        return mask
    return np.where(mask != 0, np.maximum(array, 1), 0).astype(np.float32)


def _visit(ending: str) -> Apply:
    """Another examination of the patient, told by the ending of its name."""

    def apply(hospital: Path, case: str, other: str) -> None:
        _move_case(hospital, case, f"{case}{ending}")
        _array_copy(hospital, f"{case}{ending}", case)

    return apply


def _long_quaternion(hospital: Path, case: str, other: str) -> None:
    """A unit quaternion, rounded up."""
    path = _file(hospital, case, "t2")
    image = nib.load(path)
    for name, value in {"qform_code": 1, "quatern_b": 0, "quatern_c": 0, "quatern_d": 1.0000002}.items():
        image.header[name] = value
    path.write_bytes(gzip.compress(_with_header(image), 1))


def _whole_tumor(hospital: Path, case: str, other: str) -> None:
    for name in (case, other):
        _label(lambda a: (a != 0).astype(np.uint8))(hospital, name, other)


def _move_case(hospital: Path, case: str, name: str) -> None:
    (hospital / case).rename(hospital / name)
    for path in (hospital / name).iterdir():
        path.rename(path.with_name(path.name.replace(case, name)))


def _array_copy(hospital: Path, source: str, target: str) -> None:
    """A second examination: the same anatomy with other noise."""
    (hospital / target).mkdir()
    random = np.random.default_rng(0)
    for kind in (*IMAGES, "seg"):
        image = nib.load(_file(hospital, source, kind))
        array = np.asanyarray(image.dataobj)
        if kind != "seg":
            noise = random.normal(0, 0.02 * array[array != 0].mean(), array.shape)
            array = np.where(array != 0, np.maximum(array + noise, 1), 0).astype(array.dtype)
        else:
            array = np.where(ndimage.binary_erosion(array != 0), array, 0).astype(array.dtype)
        nib.Nifti1Image(array, image.affine).to_filename(_file(hospital, target, kind))


def _copy_image(source: str, target: str) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        shutil.copy(_file(hospital, case, source), _file(hospital, case, target))

    return apply


def _scaled_copy(source: str, target: str, factor: float | None) -> Apply:
    """One image under two names, multiplied; without a factor so that its brightest voxel is 255."""

    def apply(hospital: Path, case: str, other: str) -> None:
        image = nib.load(_file(hospital, case, source))
        array = np.asanyarray(image.dataobj)
        scaled = np.rint(array * (factor or 255 / array.max())).astype(np.int16)
        nib.Nifti1Image(scaled, image.affine).to_filename(_file(hospital, case, target))

    return apply


def _brain_mask(hospital: Path, case: str, other: str) -> None:
    image = nib.load(_file(hospital, case, "t1"))
    mask = ndimage.binary_erosion(np.asanyarray(image.dataobj) != 0).astype(np.uint8)
    nib.Nifti1Image(mask, image.affine).to_filename(_file(hospital, case, "seg"))


def _dangle(hospital: Path, case: str, other: str) -> None:
    path = _file(hospital, case, "flair")
    path.unlink()
    path.symlink_to("../../.git/annex/objects/ab/cd/SHA256E-s1.nii.gz")


def _foreign(kind: str) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        shutil.copy(_file(hospital, other, kind), _file(hospital, case, kind))

    return apply


def _rename(names: dict[str, str]) -> Apply:
    def apply(hospital: Path, case: str, other: str) -> None:
        content = {kind: _file(hospital, case, kind).read_bytes() for kind in names}
        for kind, target in names.items():
            _file(hospital, case, target).write_bytes(content[kind])

    return apply


def _plain(raw: bytes) -> bytes:
    return gzip.decompress(raw)


def _flip_bytes(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes(255 - byte for byte in raw[middle : middle + 40]) + raw[middle + 40 :]


def _colors(array: NDArray[Any]) -> NDArray[Any]:
    return np.zeros(array.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def _move(matrix: NDArray[Any], millimeters: float) -> NDArray[Any]:
    moved = matrix.copy()
    moved[0, 3] += millimeters
    return moved


def _put(array: NDArray[Any], value: float) -> NDArray[Any]:
    array[tuple(size // 2 for size in array.shape)] = value
    return array


def _mark(array: NDArray[Any], value: float) -> NDArray[Any]:
    array = array.copy()
    array[tuple(slice(size // 2, size // 2 + 2) for size in array.shape)] = value
    return array


def _half(array: NDArray[Any]) -> NDArray[Any]:
    filled = np.flatnonzero(array.any(axis=(0, 1)))
    half = array.copy()
    half[:, :, : filled[0] + round(0.35 * filled.size)] = 0
    half[:, :, filled[0] + round(0.75 * filled.size) :] = 0
    return half


def _noise(array: NDArray[Any]) -> NDArray[Any]:
    noise = np.random.default_rng(0).integers(1, 20, array.shape)
    return np.where(array == 0, noise, array).astype(np.int16)


def _scalp(array: NDArray[Any], voxel_mm: float) -> NDArray[Any]:
    """8 mm of a dark skull and 10 mm of bright scalp around the brain."""
    outside = ~ndimage.binary_fill_holes(array != 0)
    distance = ndimage.distance_transform_edt(outside, sampling=(voxel_mm,) * 3)
    level = float(np.median(array[array != 0]))
    head = array.astype(np.float32)
    head[(distance > 0) & (distance <= 8)] = 0.15 * level
    scalp = (distance > 8) & (distance <= 18)
    head[scalp] = level * np.random.default_rng(0).normal(1.6, 0.2, int(scalp.sum()))
    return np.rint(head).astype(np.int16)


def _spots(array: NDArray[Any], where: NDArray[np.bool_], count: int, value: float) -> NDArray[Any]:
    """Give some voxels a value that no tissue has."""
    spotted = array.copy() if array.dtype.kind == "f" else array.astype(np.int32)
    spotted[_some(where, count)] = value
    return spotted


def _some(where: NDArray[np.bool_], count: int) -> tuple[NDArray[np.intp], ...]:
    places = np.argwhere(where)
    chosen = np.random.default_rng(0).choice(len(places), count, replace=False)
    return tuple(places[chosen].T)


def _wrap(array: NDArray[Any]) -> NDArray[Any]:
    """An offset taken from the dark end, saved without a sign."""
    dark = np.percentile(array[array != 0], 3)
    return np.where(array != 0, array.astype(np.int64) - int(dark) - 1, 0).astype(np.uint16)


def _saturate_rim(array: NDArray[Any]) -> NDArray[Any]:
    rim = (array != 0) & ~ndimage.binary_erosion(array != 0)
    rim &= np.random.default_rng(0).random(array.shape) < 0.5
    return np.where(rim, 65535, array).astype(np.uint16)


def _spike(array: NDArray[Any]) -> NDArray[Any]:
    """Every eighth row of a slice, twelve times as bright."""
    middle = array.shape[2] // 2
    spiked = array.astype(np.int32)
    spiked[:, ::8, middle] *= 12
    return spiked


def _stray(array: NDArray[Any]) -> NDArray[Any]:
    """Voxels in the corners, as bright as tissue."""
    spotted = array.copy()
    for corner in np.ndindex(2, 2, 2):
        spotted[tuple(3 if not far else -4 for far in corner)] = int(np.median(array[array != 0]))
    return spotted


def _shift(array: NDArray[Any], voxels: float, axis: int = 0) -> NDArray[Any]:
    return np.roll(array, round(voxels), axis)


def _beside(array: NDArray[Any]) -> NDArray[Any]:
    first = np.flatnonzero(array.any(axis=(1, 2)))[0]
    return np.roll(array, -int(first) + 1, axis=0)


def _exchange(array: NDArray[Any], first: int, second: int) -> NDArray[Any]:
    return np.where(array == first, second, np.where(array == second, first, array)).astype(array.dtype)
