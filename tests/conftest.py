"""Threads that wait must not spin: on a busy machine LightGBM's small fits take four times as long otherwise. Set here,
before any test module loads LightGBM; subprocesses inherit it."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
