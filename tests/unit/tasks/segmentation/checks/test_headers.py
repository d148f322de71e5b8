"""A finding repeats no header's text, and no header makes a check crash or a wrong case look ready."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from data.hospital import LPS, MODALITIES, Hospital, head
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilium.data.case import Case, ImageFile
from consilium.data.checks import Severity
from consilium.data.checks.single_case import check_case
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention

QUICK = settings(
    max_examples=examples(30),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    folder = Hospital(tmp_path_factory.mktemp("one")).brats("A")
    images = {name: ImageFile(folder / f"A_{name}.nii.gz") for name in MODALITIES}
    return Case(id="A", patient="A", images=images, target=ImageFile(folder / "A_seg.nii.gz"))


def check(case: Case):
    return check_case(case, LabelConvention.BRATS_2018, CASES)


def in_header(case: Case):
    codes = {"identifying_header", "header_text"}
    return [one for one in check(case).findings() if one.code.value in codes]


def errors(case: Case) -> set[str]:
    return {one.code.value for one in check(case).findings() if one.severity is Severity.ERROR}


@pytest.mark.parametrize(
    ("field", "text", "kind"),
    [
        ("db_name", b"DOE^JANE", "a name"),
        ("descrip", b"scanned 20190304", "a date"),
        ("descrip", b"4.3.2019", "a date"),
        ("aux_file", b"0047118233", "an id"),
        ("intent_name", b"mrn=X12", "an id"),
    ],
)
def test_a_finding_names_the_field_and_the_kind_but_never_the_text(case, tmp_path, field, text, kind):
    image = nib.load(case.images["t1"].path)
    image.header[field] = text
    path = tmp_path / "t1.nii.gz"
    image.to_filename(path)
    changed = Case(id="A", patient="A", images={**case.images, "t1": ImageFile(path)}, target=case.target)
    (finding,) = in_header(changed)
    assert finding.code.value == "identifying_header"
    assert kind in finding.detail
    assert field in finding.detail
    assert text.decode() not in finding.model_dump_json()


@pytest.mark.parametrize("text", [b"FSL5.0", b"TE=12;Time=93012.540", b"6.0.5:9e026117", b""])
def test_what_software_writes_about_itself_is_no_finding(case, tmp_path, text):
    image = nib.load(case.images["t1"].path)
    image.header["descrip"] = text
    path = tmp_path / "t1.nii.gz"
    image.to_filename(path)
    changed = Case(id="A", patient="A", images={**case.images, "t1": ImageFile(path)}, target=case.target)
    assert in_header(changed) == []


@QUICK
@given(position=st.integers(0, 347), content=st.binary(min_size=1, max_size=16))
def test_no_header_makes_a_check_crash(case, tmp_path, position, content):
    raw = bytearray(gzip.decompress(case.images["t2"].path.read_bytes()))
    raw[position : position + len(content)] = content
    changed = with_image(case, tmp_path, bytes(raw))
    for finding in check(changed).findings():
        assert finding.case_id == "A"


@QUICK
@given(matrix=st.lists(st.floats(width=32), min_size=12, max_size=12))
def test_an_affine_other_than_the_cases_own_is_never_ready(case, tmp_path, matrix):
    raw = bytearray(gzip.decompress(case.images["t2"].path.read_bytes()))
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = matrix[4 * row : 4 * row + 4]
    raw[:348] = header.binaryblock
    affine = np.array([*matrix, 0, 0, 0, 1]).reshape(4, 4)
    found = errors(with_image(case, tmp_path, bytes(raw)))
    if not np.allclose(affine, LPS, atol=0.01):
        assert found & {"invalid_affine", "affine_mismatch"}


@QUICK
@given(cut=st.integers(0, 2000))
def test_a_file_cut_anywhere_is_never_ready(case, tmp_path, cut):
    raw = case.images["t2"].path.read_bytes()
    changed = with_image(case, tmp_path, raw[: min(cut, len(raw) - 1)], ".nii.gz")
    assert errors(changed) & {"truncated", "unreadable", "empty_file"}


@QUICK
@given(shape=st.lists(st.integers(1, 15), min_size=1, max_size=5))
def test_another_shape_is_never_ready(case, tmp_path, shape):
    image = nib.Nifti1Image(np.arange(1, np.prod(shape) + 1, dtype=np.int16).reshape(shape), LPS)
    found = errors(with_image(case, tmp_path, image.to_bytes()))
    if tuple(shape) != head().shape:
        assert found & {"not_3d", "shape_mismatch", "constant_image"}


def with_image(case: Case, folder: Path, raw: bytes, ending: str = ".nii") -> Case:
    path = folder / f"t2{ending}"
    path.write_bytes(raw)
    return Case(id="A", patient="A", images={**case.images, "t2": ImageFile(path)}, target=case.target)


def test_the_case_that_all_this_starts_from_is_healthy(case):
    assert errors(case) == set()
