"""Whatever is in a file: it is read, or what is wrong with it has a code. Nothing else is ever raised."""

import gzip
import resource
from contextlib import contextmanager
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from data.hospital import LPS, MODALITIES, Hospital, head
from effort import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consilium.data.case import Case, CaseError, ImageFile
from consilium.data.checks.single_case import check_case
from consilium.data.codes import DataCode
from consilium.tasks.brain_tumor.cases import CASES
from consilium.tasks.brain_tumor.label_conventions import LabelConvention
from consilium.tasks.segmentation.nifti.reading import read_nifti, read_size

EXAMPLES = examples(100)
FUZZ = settings(max_examples=EXAMPLES, suppress_health_check=[*HealthCheck])
OURS = DataCode.UNEXPECTED_ERROR
ROOM_BYTES = 6 << 30

KINDS = {1: (nib.Nifti1Image, nib.Nifti1Header), 2: (nib.Nifti2Image, nib.Nifti2Header)}
EXTREME_INTEGERS = [0, 1, -1, 2, 3, 4, 7, 8, 127, 255, 348, 540, 2**15 - 1, -(2**15), 2**31 - 1, 2**62]
EXTREME_FLOATS = [0.0, -0.0, 1.0, -1.0, 1.0000002, 0.5, 352.0, 1e-45, 1e-9, 1e9, 3e38, -3e38]
EXTREME_FLOATS += [float("nan"), float("inf"), float("-inf")]


def image_bytes(version, order):
    image_class, header_class = KINDS[version]
    image = image_class(head(seed=3), LPS, header_class(endianness=order))
    image.set_data_dtype(np.int16)
    image.set_sform(LPS, 1)
    image.set_qform(LPS, 1)
    return image.to_bytes()


SOUND = {(version, order): image_bytes(version, order) for version in KINDS for order in "<>"}
FIELDS = [(version, name) for version, (_, kind) in KINDS.items() for name in kind.template_dtype.names]


@st.composite
def headers(draw, field=None):
    """A file of which one field, or several, hold anything; all of the file's other bytes are sound."""
    version, name = field or draw(st.sampled_from(FIELDS))
    order = draw(st.sampled_from("<>"))
    raw = bytearray(SOUND[version, order])
    kind = KINDS[version][1]
    header = kind(bytes(raw[: kind.sizeof_hdr]), order, check=False)
    names = [name, *draw(st.lists(st.sampled_from(kind.template_dtype.names), max_size=3))]
    for one in names:
        header[one] = draw(values(header[one].dtype, header[one].shape))
    raw[: kind.sizeof_hdr] = header.binaryblock
    return bytes(raw)


def values(dtype, shape):
    """Extreme values of a field, and any bytes."""
    count = int(np.prod(shape)) if shape else 1
    anything = st.binary(min_size=dtype.itemsize * count, max_size=dtype.itemsize * count).map(
        lambda raw: np.frombuffer(raw, dtype).reshape(shape)
    )
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        known = [value for value in EXTREME_INTEGERS if limits.min <= value <= limits.max]
    elif dtype.kind == "f":
        known = EXTREME_FLOATS
    else:
        return anything
    extreme = st.lists(st.sampled_from(known), min_size=count, max_size=count).map(
        lambda row: np.array(row, dtype).reshape(shape)
    )
    return extreme | anything


@st.composite
def gzips(draw):
    """A gzip stream: cut, with bytes behind, of several members, with bytes changed."""
    raw = SOUND[1, "<"]
    place = draw(st.integers(0, len(raw)))
    packed = bytearray(gzip.compress(raw[:place], 1) + gzip.compress(raw[place:], 1))
    for position in draw(st.lists(st.integers(0, len(packed) - 1), max_size=3)):
        packed[position] = draw(st.integers(0, 255))
    packed = packed[: draw(st.integers(0, len(packed)) | st.just(len(packed)))]
    return bytes(packed) + draw(st.binary(max_size=40) | st.just(gzip.compress(b"more")))


@contextmanager
def little_memory():
    """What a header claims can't be allocated."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (current_bytes() + ROOM_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def current_bytes():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def outcome(path):
    """None where the file is read, else the code of what is wrong; the size alone agrees with it."""
    with little_memory():
        try:
            stored = read_nifti(path, case_id="A")
        except CaseError as error:
            problem = error.problem
        else:
            problem = None
        if problem is None:
            assert read_size(path, case_id="A").shape == stored.array.shape[:3]
    if problem is not None:
        assert str(path) in problem.detail
        return problem.code
    assert np.isfinite(stored.affine).all()
    return None


@pytest.mark.quick_cases(25)
@pytest.mark.hypothesis
@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"nifti{field[0]}-{field[1]}")
def test_no_field_of_a_header_raises_anything_but_a_code(tmp_path, field):
    path = tmp_path / "x.nii"

    @settings(FUZZ, max_examples=max(4, EXAMPLES // 20))
    @given(raw=headers(field))
    def fuzz(raw):
        path.write_bytes(raw)
        assert outcome(path) not in (OURS, DataCode.OUT_OF_RESOURCES)

    fuzz()


@FUZZ
@given(raw=gzips())
def test_no_gzip_stream_raises_anything_but_a_code(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "fuzz.nii.gz"
    path.write_bytes(raw)
    assert outcome(path) not in (OURS, DataCode.OUT_OF_RESOURCES)


@FUZZ
@given(raw=headers() | gzips(), place=st.sampled_from(("t1", "flair", "label")))
def test_no_file_ends_the_check_of_its_case(case, tmp_path_factory, raw, place):
    path = tmp_path_factory.getbasetemp() / "fuzz.nii"
    path.write_bytes(raw)
    volume = ImageFile(path)
    images = case.images if place == "label" else {**case.images, place: volume}
    changed = Case(id="A", patient="A", images=images, target=volume if place == "label" else case.target)
    check = check_case(changed, LabelConvention.BRATS_2018, CASES)
    assert OURS not in {one.code for one in check.findings()}
    assert {one.case_id for one in check.findings()} <= {"A"}


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = Hospital(tmp_path_factory.mktemp("one")).brats("A")
    images = {name: ImageFile(folder / f"A_{name}.nii.gz") for name in MODALITIES}
    return Case(id="A", patient="A", images=images, target=ImageFile(folder / "A_seg.nii.gz"))
