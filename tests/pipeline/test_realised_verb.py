"""`expansion realised` reads real releases, and knows which of them promised nothing yet and which never did."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.pipeline.conftest import AS_OF, Vendor
from tests.pipeline.vendor import done
from training.promises import HINDSIGHT


def test_a_night_before_its_model_promised_nothing_and_the_newest_must_wait(trained: Vendor, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(trained.workspace, workspace, symlinks=True)
    live = done("score", "--workspace", workspace, "--bundle", workspace / "artifacts" / "candidate")
    said = done("realised", "--workspace", workspace)
    [early] = said["skipped"]
    assert (early["release"][:10], early["why"]) == (AS_OF, HINDSIGHT)
    [night] = said["releases"]
    assert night["release"] == live["release"]
    assert night["accounts"] == live["accounts"]
    assert [one["judged"] for one in night["horizons"]] == [0, 0, 0, 0]
    assert (said["promised"], said["headline"]) == ([], None)
    assert "## Not complete yet" in (workspace / "artifacts" / "realised.md").read_text(encoding="utf-8")
