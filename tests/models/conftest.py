"""A small fitted scorer and rows for it to score, made once a module."""

from __future__ import annotations

import pyarrow as pa
import pytest

from models.scorer import Scorer
from tests.models.made_features import feature_rows, fitted


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return fitted()


@pytest.fixture(scope="module")
def tonight() -> pa.Table:
    return feature_rows(400, seed=9)
