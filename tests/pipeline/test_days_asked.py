"""Every verb that takes a day refuses one that has not opened, and an empty one is not taken for none given."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from serving import release
from serving.batch import ScoreParams, score
from tests.pipeline.terminal import Terminal
from tests.serving.nightly import AS_OF, NOW, histories, rule_bundle, warehouse_of
from warehouse.store import Workspace

Args = Callable[[Workspace], tuple[object, ...]]
TOMORROW = (NOW + timedelta(days=1)).date().isoformat()
VERBS: dict[str, Args] = {
    "score": lambda vendor: ("score", "--workspace", vendor.root),
    "replay": lambda vendor: ("replay", "003", "--workspace", vendor.root),
    "incentives": lambda vendor: ("incentives", "--workspace", vendor.root),
    "features": lambda vendor: ("features", "--raw", vendor.root / "raw", "--out", vendor.root / "features.parquet"),
}


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A tiny vendor with a live release, on the morning of that release."""
    monkeypatch.setattr("expansion._now", lambda: NOW)
    vendor = warehouse_of(tmp_path / "workspace", histories())
    score(vendor, rule_bundle(vendor.artifacts / "candidate"), AS_OF, {}, ScoreParams())
    return vendor


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("asked", "said"), [(TOMORROW, "has not opened yet"), ("9999-12-31", "has not opened yet"), ("", "is not a date")]
)
def test_a_day_that_has_not_opened_or_is_empty_is_refused(
    vendor: Workspace, terminal: Terminal, verb: str, asked: str, said: str
) -> None:
    before = release.current(vendor.releases)
    code, out, err = terminal(*VERBS[verb](vendor), "--as-of", asked)
    assert (code, out) == (2, "")
    assert said in err
    assert release.current(vendor.releases) == before


@pytest.mark.parametrize("verb", VERBS)
def test_today_is_answered(vendor: Workspace, terminal: Terminal, verb: str) -> None:
    assert terminal(*VERBS[verb](vendor), "--as-of", AS_OF)[0] == 0


def test_an_empty_day_of_hindsight_is_refused(vendor: Workspace, terminal: Terminal) -> None:
    code, _, err = terminal(*VERBS["features"](vendor), "--as-of", AS_OF, "--known-by", "")
    assert (code, "is not a date" in err) == (2, True)
