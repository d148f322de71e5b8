"""Signed apps, and why they are rejected."""

import pytest

from consilium.errors import JobRejected
from consilium.guard.job_meta import check_deployed_meta
from consilium.recipes.catalog import build_recipe

from .kit import described, signed_app, unpack

RECIPE = build_recipe("brain_tumor_check")
DAY = 24 * 60 * 60


def meta_of(**more):
    return check_deployed_meta(described(RECIPE.files().meta, **more))


def signed_files(tmp_path, user):
    return unpack(signed_app(RECIPE, tmp_path / "jobs", user)[0])


def refusal(action, *arguments):
    with pytest.raises(JobRejected) as caught:
        action(*arguments)
    return str(caught.value)
