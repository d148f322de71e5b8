"""Checks that know a brain and its four MR contrasts."""
