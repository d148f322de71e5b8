from copy import deepcopy

import pytest

from nnunet_parts.plans import CONFIGURATION, count_parameters, cut_plan, widest_base

PLAN = {
    "plans_name": "nnUNetPlans",
    "transpose_forward": [0, 1, 2],
    "label_manager": "LabelManager",
    "configurations": {
        "2d": {"patch_size": [64, 64]},
        CONFIGURATION: {
            "data_identifier": "nnUNetPlans_3d_fullres",
            "batch_size": 2,
            "patch_size": [112, 128, 96],
            "spacing": [1.0, 1.0, 1.0],
            "batch_dice": False,
            "architecture": {
                "network_class_name": "PlainConvUNet",
                "arch_kwargs": {
                    "n_stages": 6,
                    "features_per_stage": [32, 64, 128, 256, 320, 320],
                    "bias": True,
                },
            },
        },
    },
}


def cut(plan=PLAN, **changes):
    asked = {
        "patch_voxels": (72, 88, 80),
        "spacing_mm": (2.0, 2.0, 5.0),
        "batch_size": 3,
        "base_features": 8,
        **changes,
    }
    return cut_plan(plan, "cut", **asked)["configurations"][CONFIGURATION]


def test_patch_and_voxels_come_in_the_order_of_nnunet():
    configuration = cut()
    assert configuration["patch_size"] == [80, 88, 72]
    assert configuration["spacing"] == [5.0, 2.0, 2.0]


def test_axes_that_nnunet_moves_are_moved():
    configuration = cut({**PLAN, "transpose_forward": [2, 0, 1]})
    assert configuration["patch_size"] == [72, 80, 88]
    assert configuration["spacing"] == [2.0, 5.0, 2.0]


def test_the_network_is_as_wide_and_deep_as_asked():
    network = cut()["architecture"]["arch_kwargs"]
    assert network["features_per_stage"] == [8, 16, 32, 64]
    assert network["strides"][0] == [1, 1, 1]
    lengths = {len(network[name]) for name in ("strides", "kernel_sizes", "n_conv_per_stage")}
    assert lengths == {network["n_stages"]}
    assert len(network["n_conv_per_stage_decoder"]) == network["n_stages"] - 1


def test_everything_else_stays_and_the_plan_is_not_changed():
    before = deepcopy(PLAN)
    plan = cut_plan(
        PLAN, "cut", patch_voxels=(64, 64, 64), spacing_mm=(1, 1, 1), batch_size=1, base_features=8
    )
    assert before == PLAN
    assert (plan["plans_name"], plan["label_manager"]) == ("cut", "LabelManager")
    assert plan["configurations"].keys() == {CONFIGURATION}
    configuration = plan["configurations"][CONFIGURATION]
    assert configuration["batch_dice"] is False
    assert configuration["architecture"]["network_class_name"] == "PlainConvUNet"
    assert configuration["architecture"]["arch_kwargs"]["bias"] is True
    assert configuration["data_identifier"] != PLAN["configurations"][CONFIGURATION]["data_identifier"]


def test_a_patch_that_cannot_be_halved_is_an_error():
    with pytest.raises(ValueError, match="can't be halved 3 times"):
        cut(patch_voxels=(72, 88, 84))


def test_the_widest_network_that_is_not_larger():
    base = widest_base(2_000_000, channels=4, outputs=3)
    assert base % 8 == 0
    assert count_parameters(base, 4, 3) <= 2_000_000 < count_parameters(base + 8, 4, 3)


def test_no_network_is_narrower_than_eight_channels():
    assert widest_base(1000, channels=4, outputs=3) == 8


def test_parameters_are_those_of_the_network_that_nnunet_builds():
    assert count_parameters(9, channels=4, outputs=3) == 445_167  # nnU-Net 2.8.1, counted there
