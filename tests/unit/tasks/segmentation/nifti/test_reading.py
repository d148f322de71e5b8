"""What real exports do to a NIfTI file: each is read as what it is, or named."""

import gzip
import os

import nibabel as nib
import numpy as np
import pytest

from consilium.data.case import CaseError
from consilium.tasks.segmentation.nifti.reading import read_nifti, read_size

VOXELS = np.arange(1, 121, dtype=np.int16).reshape(4, 5, 6)
AFFINE = np.array([[-1.0, 0, 0, 3], [0, -1, 0, 5], [0, 0, 1, -7], [0, 0, 0, 1]])
KINDS = {"NIfTI-1": (nib.Nifti1Image, nib.Nifti1Header), "NIfTI-2": (nib.Nifti2Image, nib.Nifti2Header)}
both_kinds = pytest.mark.parametrize("kind", KINDS)


def content(kind="NIfTI-1", order="<", *, voxels=VOXELS, sform=True, **fields):
    """The bytes of a file with the header's fields as they are given, which nibabel would correct."""
    image_class, header_class = KINDS[kind]
    image = image_class(voxels, AFFINE, header_class(endianness=order))
    image.set_data_dtype(voxels.dtype)
    image.set_sform(AFFINE, 1 if sform else 0)
    image.set_qform(AFFINE, 1)
    raw = bytearray(image.to_bytes())
    header = header_class(bytes(raw[: header_class.sizeof_hdr]), order, check=False)
    for name, value in fields.items():
        header[name] = value
    raw[: header_class.sizeof_hdr] = header.binaryblock
    return bytes(raw)


@pytest.fixture
def read(tmp_path):
    def read(raw, name="x.nii"):
        path = tmp_path / name
        path.write_bytes(raw)
        return read_nifti(path, case_id="A")

    return read


@pytest.fixture
def code_of(read):
    def code_of(raw, name="x.nii"):
        with pytest.raises(CaseError) as caught:
            read(raw, name)
        assert name in caught.value.problem.detail
        return caught.value.problem.code.value

    return code_of


def flaws(stored):
    return [code.value for code, _ in stored.flaws]


@both_kinds
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compress", [False, True])
def test_both_versions_are_read_in_both_byte_orders(read, kind, order, compress):
    raw = content(kind, order)
    stored = read(gzip.compress(raw) if compress else raw)
    np.testing.assert_array_equal(stored.array, VOXELS)
    assert stored.array.dtype.isnative
    np.testing.assert_array_equal(stored.affine, AFFINE)
    assert (stored.gzipped, stored.flaws) == (compress, ())


@both_kinds
@pytest.mark.parametrize("order", ["<", ">"])
def test_scaling_is_applied(read, kind, order):
    stored = read(content(kind, order, scl_slope=0.5, scl_inter=-2))
    np.testing.assert_allclose(stored.array, VOXELS * 0.5 - 2)


@both_kinds
@pytest.mark.parametrize("sform", [True, False])
def test_a_quaternion_that_rounding_made_longer_than_1_is_read_with_a_warning(read, kind, sform):
    stored = read(content(kind, sform=sform, quatern_b=0, quatern_c=0, quatern_d=1.0000002))
    np.testing.assert_allclose(stored.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(stored.header.get_qform(), AFFINE, atol=1e-5)
    assert flaws(stored) == ["inexact_qform"]


@both_kinds
@pytest.mark.parametrize("parts", [(0.8, 0.8, 0), (3, 0, 0), (np.nan, 0, 0), (np.inf, 0, 0)])
def test_a_quaternion_of_no_rotation_is_an_invalid_affine_where_it_counts(read, code_of, kind, parts):
    fields = dict(zip(("quatern_b", "quatern_c", "quatern_d"), parts, strict=True))
    assert code_of(content(kind, sform=False, **fields)) == "invalid_affine"
    np.testing.assert_array_equal(read(content(kind, **fields)).affine, AFFINE)


@pytest.mark.parametrize("offset", [np.nan, np.inf, -np.inf, -352, 4, 351, 352.5, 1e30])
def test_a_place_of_the_voxels_that_can_not_be_is_named(code_of, offset):
    assert code_of(content(vox_offset=offset)) == "unreadable"


@pytest.mark.parametrize("offset", [-1, 543, 2**62])
def test_a_place_of_the_voxels_that_can_not_be_is_named_in_nifti_2(code_of, offset):
    assert code_of(content("NIfTI-2", vox_offset=offset)) == "unreadable"


@both_kinds
def test_no_place_of_the_voxels_means_right_behind_the_header(read, kind):
    np.testing.assert_array_equal(read(content(kind, vox_offset=0)).array, VOXELS)


def test_a_place_behind_the_end_is_a_file_that_is_incomplete(code_of):
    assert code_of(content(vox_offset=100_000)) == "truncated"


@both_kinds
@pytest.mark.parametrize("compress", [False, True])
def test_a_header_that_claims_terabytes_costs_no_memory(code_of, kind, compress):
    raw = content(kind, dim=[3, 30_000, 30_000, 30_000, 1, 1, 1, 1])
    assert code_of(gzip.compress(raw) if compress else raw) == "too_large"


def test_a_gzip_bomb_costs_no_memory(code_of):
    assert code_of(gzip.compress(content() + bytes(1 << 27), 1)) == "too_large"


def test_half_of_a_pair_is_not_read_as_voxels(code_of):
    assert code_of(content(magic=b"ni1", vox_offset=0)) == "unreadable"


@pytest.mark.parametrize("size", [1e-9, 1e9])
def test_voxels_of_no_possible_size_are_an_invalid_affine(code_of, size):
    rows = {f"srow_{axis}": row * size for axis, row in zip("xyz", AFFINE, strict=False)}
    assert code_of(content(**rows)) == "invalid_affine"


def test_gzip_members_one_after_the_other_are_one_content(read):
    raw = content()
    stored = read(gzip.compress(raw[:100]) + gzip.compress(raw[100:]) + bytes(512))
    np.testing.assert_array_equal(stored.array, VOXELS)
    assert stored.flaws == ()


@pytest.mark.parametrize("behind", [b"x", b"\0\0x", b"<html>" * 100])
def test_bytes_behind_gzip_are_a_warning(read, behind):
    stored = read(gzip.compress(content()) + behind)
    np.testing.assert_array_equal(stored.array, VOXELS)
    assert flaws(stored) == ["trailing_bytes"]


def test_bytes_behind_the_voxels_are_a_warning(read):
    assert flaws(read(content() + b"more")) == ["trailing_bytes"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-9],
        lambda raw: raw[:-8] + bytes(4) + raw[-4:],  # CRC
        lambda raw: raw[:-4] + bytes(4),  # length
        lambda raw: raw + gzip.compress(b"more")[:-3],
    ],
)
def test_gzip_that_is_incomplete_or_fails_its_checksum_is_never_read(code_of, damage):
    assert code_of(damage(gzip.compress(content())), "x.nii.gz") == "truncated"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "pointer_file"),
        (b"/annex/objects/SHA256E-s123--4d7a.nii.gz\n", "pointer_file"),
        (b"<html>404</html>", "unreadable"),
        (gzip.compress(gzip.compress(content())), "unreadable"),
        (content()[:200], "truncated"),
        (content()[:-1], "truncated"),
    ],
)
def test_what_lies_in_a_files_place_is_named(code_of, raw, code):
    assert code_of(raw) == code


@pytest.mark.parametrize(
    ("target", "words"), [("../.git/annex/objects/x/SHA256E-s1", "git-annex"), ("/nowhere", "/nowhere")]
)
def test_a_dead_link_is_named_with_what_it_points_to(tmp_path, target, words):
    (tmp_path / "t1.nii.gz").symlink_to(target)
    with pytest.raises(CaseError, match=words) as caught:
        read_nifti(tmp_path / "t1.nii.gz", case_id="A")
    assert caught.value.problem.code.value == "dangling_link"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t1.nii")
    with pytest.raises(CaseError, match="not a regular file"):
        read_nifti(tmp_path / "t1.nii", case_id="A")


def test_an_extension_that_is_damaged_loses_nobodys_image(read):
    raw = bytearray(content(vox_offset=384))
    raw[348:] = b"\1\0\0\0" + b"\xff\xff\xff\x7f\6\0\0\0patient: 4711" + bytes(11) + raw[352:]
    stored = read(bytes(raw))
    np.testing.assert_array_equal(stored.array, VOXELS)
    assert b"patient" in stored.extensions[0][1]


@both_kinds
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_the_size_alone_is_read_from_the_start_whatever_the_file_is_named(tmp_path, kind, name):
    for raw in (content(kind), gzip.compress(content(kind))):
        path = tmp_path / name
        path.write_bytes(raw)
        size = read_size(path, case_id="A")
        assert (size.shape, size.spacing_mm) == ((4, 5, 6), (1.0, 1.0, 1.0))
