"""What the hospital with the turn makes of the updates that it opened."""

import numpy as np
import pytest
from safetensors.numpy import save

from consilium.aggregation.form import UpdateForm
from consilium.aggregation.rules import AggregationSettings
from consilium.sealed.merging import merge_updates, pack_update
from consilium.secagg.errors import SecAggRefusal

SHAPES = {"w": np.zeros((2, 3), np.float32), "count": np.zeros((), np.int64)}
NAMES = ("east", "north", "south", "west")


def update(value):
    return {"w": np.full((2, 3), value, np.float32), "count": np.array(round(value), np.int64)}


def packed(value=1.0, cases=3, **changed):
    return pack_update({**update(value), **changed}, cases)


def merge(opened, fewest=3, ratio=None, cases=None, **rule):
    return merge_updates(
        opened,
        cases or dict.fromkeys(NAMES, 3),
        form=UpdateForm(SHAPES),
        rule=AggregationSettings.model_validate({"max_site_share": 1.0, **rule}),
        max_norm_ratio=ratio,
        pace=lambda norm, cases: norm,
        fewest=fewest,
    )


def test_updates_combine_by_cases():
    opened = {"east": packed(4.0, 6), "north": packed(1.0, 3), "south": packed(2.0, 3)}
    merged = merge(opened, cases={"east": 6, "north": 3, "south": 3})
    np.testing.assert_allclose(merged.mean["w"], (24 + 3 + 6) / 12)
    assert merged.mean["count"].dtype == np.int64
    assert merged.mean["count"].shape == ()
    assert not merged.left_out


def test_no_hospital_has_more_than_the_job_s_largest_share():
    opened = {"east": packed(4.0, 1000), "north": packed(1.0, 1), "south": packed(2.0, 1)}
    merged = merge(opened, cases={"east": 1000, "north": 1, "south": 1}, max_site_share=0.5)
    np.testing.assert_allclose(merged.mean["w"], 0.5 * 4 + 0.25 * 1 + 0.25 * 2)


BAD = {
    "nothing": (None, "unreadable"),
    "no safetensors": (b"\x80\x04nothing", "unreadable"),
    "a header of nonsense": ((8).to_bytes(8, "little") + b'{"w":1}}', "unreadable"),
    "empty": (b"", "unreadable"),
    "no cases": (save(update(1.0)), "cases"),
    "other cases than it reported": (packed(cases=1000), "cases"),
    "cases as a list": (save({**update(1.0), "cases/": np.full(3, 3, np.int64)}), "cases"),
    "cases as a fraction": (save({**update(1.0), "cases/": np.array(3.0)}), "cases"),
    "NaN": (packed(w=np.full((2, 3), np.nan, np.float32)), "form"),
    "another shape": (packed(w=np.ones(6, np.float32)), "form"),
    "another type": (packed(w=np.ones((2, 3))), "form"),
    "a weight more": (packed(more=np.ones(1, np.float32)), "form"),
    "no change": (packed(0.0), "length"),
    "too long": (packed(w=np.full((2, 3), 3e38, np.float32)), "length"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_an_update_that_can_not_be_used_is_left_out_and_named(bad, reason):
    opened = {"east": packed(), "north": packed(2.0), "south": packed(3.0), "west": bad}
    merged = merge(opened, ratio=6.0)
    assert merged.left_out == {"west": reason}
    np.testing.assert_allclose(merged.mean["w"], 2.0)
    assert np.isfinite(merged.mean["w"]).all()


def test_with_fewer_than_are_demanded_there_is_no_mean():
    """Else a server that damages updates would get the mean of few, or a single update."""
    opened = {"east": packed(), "north": None, "south": packed(2.0), "west": None}
    with pytest.raises(
        SecAggRefusal, match=r"of 4 updates only 2 can be used, and at least 3 .*; north: unread"
    ):
        merge(opened)
