"""The nightly batch: every account as of one date into a new release, all or nothing.

The same warehouse, bundle and date give the same scores, hence the same release, however often it runs.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from features.build import build_features, open_history, open_vendor
from features.rollup_stage import update
from features.snapshots import everyone
from features.stage_since import stage_since
from features.vendor import vendor_at
from serving import release
from serving.drift import Watched, score_column
from serving.errors import NothingToScore, ReleaseRefused
from serving.leads import band_of
from serving.recompute import refuse_unlike, sampled
from serving.scoring import Here, Tonight
from serving.why import Explained
from warehouse import asof
from warehouse.params import Section
from warehouse.store import Workspace

MOST_CALLS = 10_000  # a week, that one may plan for
ACCOUNT_COLUMNS = ("owner", "channel", "country", "industry")
CONTACT_COLUMNS = ("last_contact", "last_contact_kind")  # shown beside the scores, and read by none


class ScoreParams(Section):
    """`capacity`: accounts the team can contact in a week; `lots`: share of them that a lot decides (serving/plan.py):
    so many are contacted by lot, and as many left alone. `rest_days`: who was contacted within so many days before
    as_of is passed over in the week's calls; 0: nobody rests. `stalled_days`: who stands in one stage for longer has
    stalled (serving/standing.py). `bands`: floor of the probability at the default horizon; `rule_bands`: floor of the
    share of accounts ranked below, used when the release is made by a rule. What reaches no floor is D."""

    capacity: int = Field(default=60, ge=1, le=MOST_CALLS)
    lots: float = Field(default=0.1, ge=0, le=0.5)
    rest_days: int = Field(default=0, ge=0)
    stalled_days: int = Field(default=120, ge=1)
    bands: dict[str, float] = Field(default={"A": 0.20, "B": 0.10, "C": 0.04})
    rule_bands: dict[str, float] = Field(default={"A": 0.98, "B": 0.95, "C": 0.80})

    @field_validator("bands", "rule_bands")
    @classmethod
    def _descending(cls, floors: dict[str, float]) -> dict[str, float]:
        values = list(floors.values())
        if (
            list(floors) != ["A", "B", "C"]
            or not all(0 < v <= 1 for v in values)
            or values != sorted(set(values))[::-1]
        ):
            raise ValueError("give A, B and C, each in (0, 1], each below the one before")
        return floors


def score(
    workspace: Workspace,
    bundle: Path,
    as_of: date,
    run: dict[str, Any],
    params: ScoreParams,
    force: bool = False,
    master: str | None = None,
) -> Path:
    """Scores every account as of `as_of` with the bundle in folder `bundle` and makes the result the live release.

    `run` is what the caller wants kept in run.json (params, commit, seconds); it changes no score and no name. master:
    of the Spark cluster that makes features and scores; null: this machine does.
    Returns the release folder. The caller holds the workspace lock.

    Raises:
        NothingToScore: before as_of no account had signed up that was open and not internal.
        ReleaseRefused: a feature is not what the account's own events say (serving/recompute.py), a score is not
            finite, or the live release is of a later day and `force` is not set.
    """
    scorer = release.load_scorer(bundle)
    if master is None:
        update(workspace, scorer.definitions)
    with ExitStack() as cluster:  # kept until the release is out, which may have another bundle explain tonight's rows
        with open_vendor(workspace) as con:
            spine = everyone(con, as_of)
            if spine.num_rows == 0:
                raise NothingToScore(
                    f"no account to score as of {as_of}: none is open and not internal. The live release stays."
                )
            tonight: Tonight
            if master is None:
                layout = open_history(con, workspace, scorer.definitions, as_of, as_of)
                vendor = vendor_at(con, as_of)  # made once: tonight's features stand beside it, and requests will
                tonight = Here(build_features(con, spine, scorer.definitions, layout, vendor=vendor))
            else:
                from serving.distributed import on_spark  # pyspark is an extra

                tonight = spread = cluster.enter_context(on_spark(master, workspace, scorer.definitions, as_of))
                vendor = spread.vendor
            few = sampled(spine, as_of)
            refuse_unlike(tonight.of(few["account_id"]), workspace, few, scorer.definitions, vendor)
            scores, kept = tonight.scored(scorer, bundle)
            about = _account_columns(con, scores["account_id"], as_of)
        refuse_non_finite(scores)
        ranked = rank(scores, about, floors(scorer.card, params), int(scorer.card["default_horizon"]))
        document = {**run, **_describe(workspace, scorer.card, scorer.bundle_id, as_of, params, ranked)}
        explained = None
        if kept is not None:
            explained = Explained(kept, scorer.card["currency"], tonight.explained)
        watched = Watched(tonight.rows, score_column(scorer.card))
        # A vendor that needs a cluster is too large to be looked at again here: the nights from now on date its stages.
        replay = partial(stage_since, workspace, scorer.definitions, as_of) if master is None else None
        return release.write(workspace.releases, ranked, bundle, document, force, vendor, explained, watched, replay)


def floors(card: dict[str, Any], params: ScoreParams) -> dict[str, float]:
    """The band floors that fit how the bundle scores."""
    return params.bands if card["method"] == "model" else params.rule_bands


def refuse_non_finite(scores: pa.Table) -> None:
    """Raises ReleaseRefused if any number of `scores` is NaN or infinite, or a score is null."""
    for name in scores.column_names:
        column = scores[name].combine_chunks()
        if not pa.types.is_floating(column.type):
            continue
        bad = pc.fill_null(pc.invert(pc.is_finite(column)), name == "score")
        count = pc.sum(pc.cast(bad, pa.int64())).as_py() or 0
        if count:
            first = scores["account_id"].filter(bad)[0].as_py()
            raise ReleaseRefused(
                f'scores: column "{name}": {count} of {scores.num_rows} rows are not a finite number (first: account '
                f"{first}). Nothing was published; the live release stays. Train again."
            )


def rank(scores: pa.Table, about: pa.Table, band_floors: dict[str, float], horizon: int) -> pa.Table:
    """`scores` in order of rank, with rank (1 is called first), percentile (share ranked below, in %), band, and the
    columns of `about`, which has the same accounts in the same order. Equal scores are ordered by account_id.
    """
    table = scores
    for name in about.column_names:
        table = table.append_column(name, about[name])
    table = table.sort_by([("score", "descending"), ("account_id", "ascending")])
    n = table.num_rows
    below = (n - np.arange(1, n + 1)) / n
    model = table["method"][0].as_py() == "model"
    values = table[f"probability_{horizon}"].to_pylist() if model else below.tolist()
    bands = pa.array([band_of(value, band_floors) for value in values], pa.string())
    table = table.append_column("rank", pa.array(np.arange(1, n + 1), pa.int64()))
    table = table.append_column("percentile", pa.array(np.round(100 * below, 3), pa.float64()))
    return table.append_column("band", bands).combine_chunks()


def _account_columns(con: duckdb.DuckDBPyConnection, accounts: pa.ChunkedArray, as_of: date) -> pa.Table:
    con.register("scored", pa.table({"account_id": accounts, "position": np.arange(len(accounts))}))
    columns = [*(f"a.{name}" for name in ACCOUNT_COLUMNS), *(f"c.{name}" for name in CONTACT_COLUMNS)]
    return con.sql(f"""
        SELECT {", ".join(columns)} FROM scored AS s LEFT JOIN accounts AS a USING (account_id)
        LEFT JOIN ({asof.last_contacts(as_of)}) AS c USING (account_id) ORDER BY s.position""").to_arrow_table()


def _describe(
    workspace: Workspace, card: dict[str, Any], bundle_id: str, as_of: date, params: ScoreParams, ranked: pa.Table
) -> dict[str, Any]:
    accounting = json.loads((workspace.warehouse / "accounting.json").read_text(encoding="utf-8"))
    return {
        "schema_version": 1,
        "as_of": as_of.isoformat(),
        "bundle_id": bundle_id,
        "method": card["method"],
        "accounts": ranked.num_rows,
        "bands": _counts(ranked, "band"),
        "tiers": _counts(ranked, "tier"),
        "stages": _counts(ranked, "stage"),
        "band_floors": floors(card, params),
        "capacity": params.capacity,
        "rest_days": params.rest_days,
        "stalled_days": params.stalled_days,
        "data_fingerprint": accounting["fingerprint"],
        "accounting": accounting,
    }


def _counts(table: pa.Table, column: str) -> dict[str, int]:
    counted = pc.value_counts(table[column]).to_pylist()
    return {str(item["values"] or "none"): item["counts"] for item in sorted(counted, key=lambda i: str(i["values"]))}
