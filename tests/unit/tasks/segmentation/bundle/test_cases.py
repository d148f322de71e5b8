import pytest

from consilium.tasks.segmentation.bundle.cases import find_cases

ENDINGS = {"ct": ("ct",), "pet": ("pet", "pet_suv")}


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_files_of_one_name_are_a_case_with_its_images_in_order(tmp_path):
    write(tmp_path, "a/P1_PET_SUV.nii.gz", "a/P1-ct.nii.gz", "b/ct.nii", "b/pet.nii", "b/notes_mr.nii")
    found = [one["image"] for one in find_cases(tmp_path, ENDINGS)]
    assert found == [
        [str(tmp_path / "a/P1-ct.nii.gz"), str(tmp_path / "a/P1_PET_SUV.nii.gz")],
        [str(tmp_path / "b/ct.nii"), str(tmp_path / "b/pet.nii")],
    ]


def test_a_label_is_asked_for_only_where_scores_are(tmp_path):
    write(tmp_path, "P1_ct.nii", "P1_pet.nii", "P1_seg.nii", "P2_ct.nii", "P2_pet.nii")
    assert ["label" in one for one in find_cases(tmp_path, ENDINGS)] == [False, False]
    (labeled,) = find_cases(tmp_path, ENDINGS, ["seg"])
    assert labeled["label"] == str(tmp_path / "P1_seg.nii")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("P1_ct.nii",), "case P1 has no pet"),
        (("a/P1_ct.nii", "a/P1_pet.nii", "b/P1_ct.nii", "b/P1_pet.nii"), "two cases are named P1"),
        (("P1_mr.nii",), r"no case: files are looked for as \*_ct.nii.gz, \*_pet.nii.gz"),
        ((), "no case"),
    ],
)
def test_what_would_be_left_out_or_overwritten_is_an_error(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        find_cases(tmp_path, ENDINGS)
