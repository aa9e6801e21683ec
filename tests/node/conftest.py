"""Whole nodes under virtual time."""

import pytest

from threadless import threads_take_no_time

__all__ = ["threads_take_no_time"]


@pytest.fixture(autouse=True)
def in_virtual_time(threads_take_no_time: None) -> None:
    """Have every test here do without threads."""
