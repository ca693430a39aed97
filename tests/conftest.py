"""Threads that wait must not spin: on a busy machine LightGBM's small fits take four times as long otherwise. Set here,
before any test module loads LightGBM; subprocesses inherit it.

Files with slow tests come first, so that of two processes neither waits long for the other at the end."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
