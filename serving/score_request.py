"""Scores raw histories sent by a caller through the same rows, features and scorer as the nightly batch."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from features.build import HISTORY, build_features
from features.snapshots import everyone, refuse_unopened
from serving.batch import refuse_non_finite
from serving.errors import ApiError, ReleaseRefused
from serving.histories import RawAccount
from serving.leads import band_of, horizon_of, scored
from serving.release import Release
from serving.settings import REQUEST_MEMORY
from warehouse.engine import connect
from warehouse.errors import ContractBroken, UsageError
from warehouse.ingest import IngestParams
from warehouse.rows import load_rows

SENT = (*HISTORY, "touches")  # touches are judged like the others, and no feature reads them


def score_accounts(release: Release, accounts: list[RawAccount], as_of: date, now: datetime) -> list[dict[str, Any]]:
    """One item an account, in the order asked. Rows known at or after `as_of` have no influence.

    Raises:
        ApiError: 422 for an as_of that has not opened yet or rows that break the raw contract, 500 if a score is not
            finite.
    """
    _refuse_unopened(as_of, now)
    rows = _rows(accounts)
    params = IngestParams(currency=release.card["currency"])  # the canonical contract: UTC; adapters belong to files
    with connect(memory_limit=REQUEST_MEMORY) as con:
        try:
            load_rows(con, rows, params, now)
        except ContractBroken as error:
            raise ApiError(422, "invalid_rows", " ".join(error.problems), "accounts") from error
        vendor = release.vendor.later((as_of - release.as_of).days)
        spine = everyone(con, as_of)  # the nightly spine: who is not scored at night is not scored here
        found: dict[str, dict[str, Any]] = {}
        if spine.num_rows:
            table = build_features(con, spine, release.scorer.definitions, vendor=vendor)
            scores = release.scorer.score(table)
            try:
                refuse_non_finite(scores)
            except ReleaseRefused as error:
                raise ApiError(500, "non_finite_score", "The model gave no finite score for this history.") from error
            found = {row["account_id"]: _result(release, row) for row in scores.to_pylist()}
        signed_up = "SELECT account_id FROM accounts WHERE CAST(created_at AS DATE) < ?"
        there = con.execute(signed_up, [as_of]).fetchall()
    ids = [item.account.account_id for item in accounts]  # type: ignore[attr-defined]
    return [_item(account_id, found, {row[0] for row in there}) for account_id in ids]


def _refuse_unopened(as_of: date, now: datetime) -> None:
    try:
        refuse_unopened(as_of, now.date())
    except UsageError as error:
        raise ApiError(422, "invalid_request", str(error), "as_of") from error


def _item(account_id: str, found: dict[str, dict[str, Any]], there: set[str]) -> dict[str, Any]:
    status = "ok" if account_id in found else "not_scored" if account_id in there else "not_yet_created"
    return {"account_id": account_id, "status": status, "result": found.get(account_id)}


def _rows(accounts: list[RawAccount]) -> dict[str, list[dict[str, Any]]]:
    """The request as raw tables. A row of another account inside an account's history is an error."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("accounts", *SENT)}
    seen: set[str] = set()
    for position, item in enumerate(accounts):
        account = item.account.model_dump(exclude_unset=True)  # type: ignore[attr-defined]
        account_id = account["account_id"]
        if account_id in seen:
            place = f"accounts.{position}.account.account_id"
            raise ApiError(422, "invalid_request", "Each account may be sent once.", place)
        seen.add(account_id)
        rows["accounts"].append(account)
        for table in SENT:
            for number, model in enumerate(getattr(item, table)):
                row = {"account_id": account_id, **model.model_dump(exclude_none=True)}
                if row["account_id"] != account_id:
                    place = f"accounts.{position}.{table}.{number}.account_id"
                    raise ApiError(422, "invalid_request", "This row belongs to another account.", place)
                rows[table].append(row)
    return rows


def _result(release: Release, row: dict[str, Any]) -> dict[str, Any]:
    """A Scorer row with the band it would have and the share of the release's accounts that score below it."""
    count = release.database.execute(
        "SELECT COUNT(*) FROM scores WHERE IFNULL(score, -1e300) < ?", (row["score"],)
    ).fetchone()[0]
    below = count / release.run["accounts"]
    horizon = horizon_of(release, None)
    value = row[f"probability_{horizon}"] if row["method"] == "model" else below
    percentile, band = round(100 * below, 3), band_of(value, release.run["band_floors"])
    return {
        **scored({**row, "as_of": row["as_of"].isoformat()}, release.card, horizon),
        "percentile": percentile,
        "band": band,
    }
