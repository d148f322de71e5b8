"""Fixtures of the tasks' tests."""

from data.conftest import hospital

__all__ = ["hospital"]
