"""Rank, filter and page over the published scores. Nothing here scores an account."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from features.journey import LOOKED_AT
from serving.database import WHY_COLUMNS, sort_key
from serving.errors import ApiError
from serving.release import Release
from serving.schemas import LeadQuery, Scored
from serving.standing import stage_evidence, stalled

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
EXPORT_PAGE = 1_000  # rows fetched at a time where all are read
FACET_LIMIT = 200  # names offered in a filter
EQUAL_FILTERS = ("band", "tier", "stage", "owner", "channel", "country")
# Columns of the scores that an answer does not carry under their names: the evidence of the stage tells some.
ASIDE = frozenset(("sort_value", *WHY_COLUMNS, *LOOKED_AT)) - Scored.model_fields.keys()
CSV_COLUMNS = (
    "rank", "account_id", "band", "probability", "expected_increment", "amount_low", "amount_high", "score", "tier",
    "next_tier", "run_rate",
    "stage", "stage_since", "stalled", "confidence", "owner", "channel", "country", "industry", "as_of", "release",
    "version", "stale", "data_status",
)  # fmt: skip
MOVED_COLUMNS = ("changed_on", "previous_band", "previous_tier", "previous_stage", "previous_rank")  # if asked for
LATER_COLUMNS = ("last_contact", "last_contact_kind")  # last in the file: no column before moves for them
ABSENT = dict.fromkeys(("stage_since", *LATER_COLUMNS))  # of a release of a version that did not keep them


@dataclass(frozen=True)
class Page:
    """Some leads in order. `total` counts all that match; `next_cursor` is null on the last page."""

    items: list[dict[str, Any]]
    total: int
    next_cursor: str | None


def find(release: Release, query: LeadQuery) -> Page:
    """The page of leads that `query` asks for.

    Raises:
        ApiError: 422 for a horizon or tier this release lacks, 400 for a broken cursor, 409 once it has changed.
    """
    horizon = horizon_of(release, query.horizon)
    refuse_unknown_tier(release, query.tier)
    where, values = _filters(query, horizon)
    total = release.database.execute(f"SELECT COUNT(*) FROM scores WHERE {where}", values).fetchone()[0]
    after = _read_cursor(release, query) if query.cursor else None
    rows = _fetch(release, query, horizon, after, query.limit + 1)
    items = rows[: query.limit]
    more = len(rows) > query.limit
    cursor = _write_cursor(release, query, items[-1]["sort_value"], items[-1]["account_id"]) if more else None
    return Page([lead(release, row, horizon) for row in items], int(total), cursor)


def account(release: Release, account_id: str, horizon: int | None = None) -> dict[str, Any] | None:
    """All that the release says about one account; None if it holds no such account."""
    row = release.database.execute("SELECT * FROM scores WHERE account_id = ?", (account_id,)).fetchone()
    if row is None:
        return None
    why, absent = (row[name] for name in WHY_COLUMNS)
    about = {"why_changed": None if why is None else json.loads(why), "why_changed_absent": absent}
    tiers = [tier["name"] for tier in release.card["tiers"]]
    about["stage_evidence"] = stage_evidence(row, release.scorer.definitions, tiers)
    return lead(release, row, horizon_of(release, horizon)) | about


def lead(release: Release, row: Any, horizon: int) -> dict[str, Any]:
    """One row of the scores as the API says it; `horizon` picks the headline probability and increment."""
    said = {**ABSENT, **scored(row, release.card, horizon), "accounts": release.run["accounts"]}
    days = release.run.get("stalled_days")
    return said | {"stalled": stalled(said["stage"], said["stage_since"], said["as_of"], days)}


def scored(row: Any, card: dict[str, Any], horizon: int) -> dict[str, Any]:
    """A row with the Scorer's columns (a mapping), its numbers by horizon gathered in `horizons`, reasons parsed."""
    names, known = _told(tuple(row.keys()))

    def amount(side: str, days: int) -> float | None:
        """Releases of earlier versions hold the range of their default horizon alone: of another it is not known."""
        if (name := f"amount_{side}_{days}") in known:
            return row[name]  # type: ignore[no-any-return]
        return row[f"amount_{side}"] if days == card["default_horizon"] else None

    horizons = [
        {
            "days": days,
            "probability": row[f"probability_{days}"],
            "high_value": row[f"high_value_{days}"],
            "churn": row[f"churn_{days}"],
            "expected_increment": row[f"increment_{days}"],
            "amount_low": amount("low", days),
            "amount_high": amount("high", days),
        }
        for days in card["horizons"]
    ]
    return {
        **{name: row[name] for name in names},
        "amount_low": amount("low", horizon),
        "amount_high": amount("high", horizon),
        "horizon": horizon,
        "probability": row[f"probability_{horizon}"],
        "expected_increment": row[f"increment_{horizon}"],
        "currency": card["currency"],
        "horizons": horizons,
        "reasons": json.loads(row["reasons"]),
    }


@lru_cache
def _told(columns: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The columns that an answer carries under their names, and all of them: the same for every row of a release."""
    names = (name for name in columns if not name.rsplit("_", 1)[-1].isdigit() and name not in ASIDE)
    return tuple(names), frozenset(columns)


def pages(release: Release, query: LeadQuery) -> Iterator[list[dict[str, Any]]]:
    """Every lead that `query` matches, in order, EXPORT_PAGE at a time. Raises what `horizon_of` does."""
    horizon, after = horizon_of(release, query.horizon), None
    while rows := _fetch(release, query, horizon, after, EXPORT_PAGE):
        yield [lead(release, row, horizon) for row in rows]
        after = (rows[-1]["sort_value"], rows[-1]["account_id"])


def export_csv(
    release: Release, query: LeadQuery, slots: Mapping[str, str], source: Mapping[str, Any]
) -> Iterator[str]:
    """Every lead that `query` matches, from the first, as CSV text in pieces. Text cells cannot start a formula. Where
    `changed_since` is asked, the MOVED_COLUMNS follow; the LATER_COLUMNS come last.

    slots: of this week's plan, by account; those that a lot leaves alone (`held_out`) are not to be called.
    source: which release answers (serving/source.py), for a file outlives the page that it was taken from.
    """
    last = (*(() if query.changed_since is None else MOVED_COLUMNS), *LATER_COLUMNS)
    yield _csv_line([*CSV_COLUMNS, "slot", "horizon", "currency", "reason_1", "reason_2", "reason_3", *last])
    for page in pages(release, query):
        items = ({**item, **source} for item in page)
        yield "".join(_csv_line([*_csv_cells(item, slots), *(item[name] for name in last)]) for item in items)


def safe_cell(value: Any) -> Any:
    """`value` for a spreadsheet: text that a spreadsheet would run as a formula gets a leading apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA_STARTS) else value


def horizon_of(release: Release, asked: int | None) -> int:
    """The horizon in days to answer with; the bundle's default when none was asked for."""
    known = release.card["horizons"]
    if asked is None:
        return int(release.card["default_horizon"])
    if asked not in known:
        raise ApiError(
            422, "invalid_request", f"horizon {asked} is not one of {', '.join(map(str, known))}.", "horizon"
        )
    return asked


def refuse_unknown_tier(release: Release, asked: str | None) -> None:
    """A tier that is not on the ladder would find nobody, as if nobody stood there. Raises ApiError 422."""
    known = [tier["name"] for tier in release.card["tiers"]]
    if asked is not None and asked not in known:
        raise ApiError(422, "invalid_request", f"This is not one of the tiers {', '.join(known)}.", "tier")


def band_of(value: float | None, floors: dict[str, float]) -> str | None:
    """The band of a probability (a model) or a share of accounts ranked below (a rule): the highest floor it reaches,
    else D; null without a value, that is at the top tier. `floors` come in descending order."""
    if value is None:
        return None
    return next((band for band, floor in floors.items() if value >= floor), "D")


def facets(release: Release) -> dict[str, list[str]]:
    """What the filters can offer: names that occur in the release, sorted, at most FACET_LIMIT each."""
    out = {}
    for column in ("stage", "tier", "owner", "channel", "country"):
        rows = release.database.execute(
            f'SELECT DISTINCT "{column}" FROM scores WHERE "{column}" IS NOT NULL ORDER BY 1 LIMIT {FACET_LIMIT}'
        )
        out[column] = [row[0] for row in rows]
    return out


def _sort_column(query: LeadQuery, horizon: int) -> str:
    names = {"score": "score", "probability": f"probability_{horizon}", "expected_increment": f"increment_{horizon}"}
    return names[query.sort]


def _filters(query: LeadQuery, horizon: int) -> tuple[str, list[Any]]:
    """SQL condition and its values. Column names come from `EQUAL_FILTERS` and the bundle, never from a caller."""
    parts, values = ["1"], []
    for name in EQUAL_FILTERS:
        if (wanted := getattr(query, name)) is not None:
            parts.append(f'"{name}" = ?')
            values.append(wanted)
    if query.min_increment is not None:
        parts.append(f'"increment_{horizon}" >= ?')
        values.append(query.min_increment)
    if query.changed_since is not None:
        parts.append("changed_on >= ?")
        values.append(query.changed_since.isoformat())
    if query.q is not None:
        escaped = query.q.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        parts.append("account_id LIKE ? ESCAPE '\\'")
        values.append(f"%{escaped}%")
    return " AND ".join(parts), values


def _fetch(release: Release, query: LeadQuery, horizon: int, after: tuple[float, str] | None, limit: int) -> list[Any]:
    key = sort_key(_sort_column(query, horizon))
    where, values = _filters(query, horizon)
    if after is not None:
        where += f" AND {key} <= ? AND ({key} < ? OR account_id > ?)"
        values += [after[0], after[0], after[1]]
    sql = f"SELECT *, {key} AS sort_value FROM scores WHERE {where} ORDER BY {key} DESC, account_id LIMIT ?"
    return release.database.execute(sql, [*values, limit]).fetchall()


def _asked(query: LeadQuery) -> str:
    """What must stay the same from page to page: everything but the cursor, the page size and the format."""
    return query.model_dump_json(exclude={"cursor", "limit", "format"})


def _write_cursor(release: Release, query: LeadQuery, value: float, account_id: str) -> str:
    body = json.dumps([release.name, _asked(query), value, account_id]).encode()
    return base64.urlsafe_b64encode(_seal(release.name, body) + body).decode().rstrip("=")


def _read_cursor(release: Release, query: LeadQuery) -> tuple[float, str]:
    try:
        text = query.cursor or ""
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        seal, body = raw[:16], raw[16:]
        name, asked, value, account_id = json.loads(body)
        intact = hmac.compare_digest(seal, _seal(str(name), body)) and asked == _asked(query)
    except (ValueError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise ApiError(
            400, "bad_cursor", "This cursor does not belong to this query. Start again without it.", "cursor"
        )
    if name != release.name:
        message = f"The list was published anew as {release.name}. Start again without the cursor."
        raise ApiError(409, "release_changed", message, "cursor")
    return float(value), str(account_id)


def _seal(name: str, body: bytes) -> bytes:
    """Detects a cursor that was edited. It is no secret: everything in a cursor is bound as a value, never as SQL."""
    return hmac.new(name.encode(), body, hashlib.sha256).digest()[:16]


def _csv_cells(item: dict[str, Any], slots: Mapping[str, str]) -> list[Any]:
    sides = {"up": "for", "down": "against"}
    reasons = [f"{sides[reason['direction']]}: {reason['text']}" for reason in item["reasons"][:3]]
    cells = [item[name] for name in CSV_COLUMNS] + [slots.get(item["account_id"], "")]
    cells += [item["horizon"], item["currency"]]
    return [*cells, *reasons, *[""] * (3 - len(reasons))]


def _csv_line(cells: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()
