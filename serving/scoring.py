"""Tonight's features, here or on a cluster, and what a bundle says of them: scores, and what the next night needs.

`Here` and `serving.distributed.Spread` are the two places; the nightly batch does not care which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from models.errors import BundleOutdated, BundleRefused
from serving import release
from serving.why import NEW_FEATURES_TEXT, NOT_ASKED_TEXT, OUTLOOK, keep
from warehouse import progress

if TYPE_CHECKING:
    from models.scorer import Scorer


class Tonight(Protocol):
    """The feature rows of every account as of one night."""

    def scored(self, scorer: Scorer, bundle: Path) -> tuple[pa.Table, pa.Table | None]:
        """What `said` returns, in order of account_id. `scorer` was loaded from the folder `bundle`."""

    def of(self, accounts: pa.ChunkedArray) -> pa.Table:
        """The feature rows of some accounts, sorted by account_id."""

    def explained(self, bundle: Path) -> pa.Table | str:
        """The same rows as `keep` tells them of the bundle in another folder; if it cannot, why, as `explaining`."""

    def rows(self) -> pa.Table:
        """The features themselves in any order, for `serving.drift` to watch: of every account, or of a sample where
        all would not fit into this process."""


@dataclass(frozen=True)
class Here:
    """The rows in the memory of this process, sorted by account_id."""

    features: pa.Table

    def scored(self, scorer: Scorer, bundle: Path) -> tuple[pa.Table, pa.Table | None]:
        return said(scorer, self.features)

    def of(self, accounts: pa.ChunkedArray) -> pa.Table:
        return self.features.filter(pc.is_in(self.features["account_id"], accounts))

    def explained(self, bundle: Path) -> pa.Table | str:
        scorer = explaining(bundle)
        return scorer if isinstance(scorer, str) else told(scorer, self.features)

    def rows(self) -> pa.Table:
        return self.features


def said(scorer: Scorer, features: pa.Table) -> tuple[pa.Table, pa.Table | None]:
    """Scores (docs/architecture.md, "Scores"), and their explanation as `keep` tells it; null for a rule."""
    explanation = scorer.explain(features)
    scores = scorer.score(features, explanation)
    if explanation is None:
        return scores, None
    horizon = int(scorer.card["default_horizon"])
    outlook = {name: scores[f"{name}_{horizon}"].to_numpy(zero_copy_only=False) for name in OUTLOOK}
    return scores, keep(features, explanation, outlook, horizon)


def told(scorer: Scorer, features: pa.Table) -> pa.Table:
    """Of a model, the explanation alone, without probabilities."""
    explanation = scorer.explain(features)
    assert explanation is not None
    return keep(features, explanation)


def explaining(bundle: Path) -> Scorer | str:
    """The model in folder `bundle`; if it was made for other features or by another version, or cannot be loaded, what
    the account is told in place of its own changes."""
    try:
        return release.load_scorer(bundle)
    except BundleOutdated:
        return NEW_FEATURES_TEXT
    except BundleRefused as refused:
        progress.note(f"why scores moved: {refused}")
        return NOT_ASKED_TEXT
