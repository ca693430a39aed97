"""Whom to call this week: the first accounts of the live release, and by lot a few of them not.

Without a lot nobody can ever tell what calling brings, for those whom one calls are those who grow (docs/adr/0047). So
of the accounts that would be called a few are drawn in pairs, once a week: one of each pair is called (`random`), the
other left alone (`held_out`), and the next in rank takes its place. As many calls are made as ever. An account that has
had a slot before is not drawn again; only its first would count. Who was contacted lately rests (score.rest_days).

    plans/2026-03-02.json         the week of that Monday: every account to call or leave alone, with its rank, what was
                                  expected, whether a lot decided, and its chance of being called
    plans/2026-03-02-touches.csv  the slots alone, as the raw table `touches` takes them
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Set
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from serving.database import columns_of
from serving.errors import PlanDamaged
from serving.leads import LATER_COLUMNS, horizon_of
from serving.release import Release
from warehouse.engine import connect
from warehouse.raw import CONTACTED, HELD_OUT, RANDOM, TOUCHES
from warehouse.store import open_warehouse, write_json

SCHEMA_VERSION = 1
SLOTS = (RANDOM, HELD_OUT)
CAPACITIES = (25, 50, 100, 200, 400)  # calls a week told beside the capacity asked for: those of the model card


def week_of(day: date) -> date:
    """The Monday that opens the week of a day."""
    return day - timedelta(days=day.weekday())


def slots_of(plans: Path, week: date) -> dict[str, str]:
    """Account to `random` or `held_out`, of the week's plan; empty where none was drawn. Raises what `_drawn` does."""
    return _slots(plan) if (plan := _drawn(plans / f"{week}.json")) is not None else {}


def left_alone(slots: dict[str, str]) -> set[str]:
    """Accounts that the lot leaves alone."""
    return {account for account, kind in slots.items() if kind == HELD_OUT}


def _slots(plan: dict[str, Any]) -> dict[str, str]:
    return {str(row["account_id"]): row["kind"] for row in plan["rows"] if row["kind"] in SLOTS}


def _drawn(path: Path) -> dict[str, Any] | None:
    """The plan in a file; None where there is none.

    Raises:
        PlanDamaged: the file is there and is no plan.
    """
    if not path.is_file():
        return None
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
        _slots(plan)
        return plan
    except (ValueError, KeyError, TypeError) as error:
        raise PlanDamaged(
            f"{path} is not a readable plan ({error!r}), so it is unknown which accounts this week's lot leaves alone. "
            "Restore the file from a backup: a new draw would call accounts that were left alone."
        ) from error


def this_week(release: Release, plans: Path, capacity: int | None) -> dict[str, Any]:
    """Whom to call in the week of the live release and what is expected of it, as the API and the page tell it
    (serving/plan_schemas.py), without the source. capacity: null: that of the release.

    Raises:
        PlanDamaged: the week's plan cannot be read.
    """
    week = week_of(release.as_of)
    drawn = _drawn(plans / f"{week}.json")
    slots = {} if drawn is None else _slots(drawn)
    rest = resting(release, drawn)
    wanted = capacity or int(release.run["capacity"])
    reached = calls(release, max(wanted, *CAPACITIES), slots, rest)
    everywhere = _money_everywhere(release)
    counts = sorted({min(count, len(reached)) for count in (wanted, *CAPACITIES)} - {0})
    return {
        "week": week.isoformat(),
        "capacity": wanted,
        "horizon": horizon_of(release, None),
        "currency": release.card["currency"],
        **_expected(reached[:wanted], everywhere),
        "capacities": [{"calls": count, **_expected(reached[:count], everywhere)} for count in counts],
        "left_alone": sorted(left_alone(slots)),
        "rest_days": _rest_days(release),
        "resting": len(rest),
        "items": reached[:wanted],
    }


def resting(release: Release, drawn: dict[str, Any] | None) -> set[str]:
    """Accounts below the top tier that are passed over: contacted within `rest_days` before as_of. None of the plan
    `drawn` for the week rests: a week is drawn once, and a slot that has come back as a touch may be a call to make."""
    if not (days := _rest_days(release)):
        return set()
    first = (release.as_of - timedelta(days=days)).isoformat()
    query = "SELECT account_id FROM scores WHERE next_tier IS NOT NULL AND last_contact >= ?"
    contacted = {account for (account,) in release.database.execute(query, (first,))}
    return contacted - {row["account_id"] for row in (drawn or {"rows": []})["rows"]}


def _rest_days(release: Release) -> int:
    """0 of a release of a version that let nobody rest."""
    return int(release.run.get("rest_days", 0))


def calls(release: Release, capacity: int, slots: dict[str, str], rest: Set[str] = frozenset()) -> list[dict[str, Any]]:
    """The first `capacity` accounts by rank that a lot does not leave alone and that do not `rest`: rank, account_id,
    owner, band, score, probability and expected_increment at the default horizon, reason (the first that speaks for it;
    null: none does), last_contact and its kind, and kind, `random` or `contacted`. Accounts at the top tier are not
    called: they have nowhere to move."""
    horizon = horizon_of(release, None)
    known = columns_of(release.database)
    contact = ", ".join(name if name in known else f"NULL AS {name}" for name in LATER_COLUMNS)
    rows = release.database.execute(
        f'SELECT rank, account_id, owner, band, score, "probability_{horizon}" AS probability,'
        f' "increment_{horizon}" AS expected_increment, reasons AS reason, {contact} FROM scores'
        " WHERE next_tier IS NOT NULL ORDER BY rank"
    )
    called = (row for row in rows if slots.get(row["account_id"]) != HELD_OUT and row["account_id"] not in rest)
    return [
        {**dict(row), "reason": _first_for(row["reason"]), "kind": slots.get(row["account_id"], CONTACTED)}
        for row in islice(called, capacity)
    ]


def _first_for(reasons: str) -> str | None:
    return next((reason["text"] for reason in json.loads(reasons) if reason["direction"] == "up"), None)


def _money_everywhere(release: Release) -> float | None:
    """What is expected of all accounts at the default horizon; null by a rule."""
    horizon = horizon_of(release, None)
    [(money,)] = release.database.execute(f'SELECT sum("increment_{horizon}") FROM scores').fetchall()
    return money  # type: ignore[no-any-return]


def _expected(called: list[dict[str, Any]], everywhere: float | None) -> dict[str, float | None]:
    """What is expected of the accounts `called`: moves, misses (the others), money, its share of that of all."""
    if not everywhere:
        return dict.fromkeys(("moves", "misses", "expected_increment", "share"))
    moves = sum(row["probability"] for row in called)
    money = sum(row["expected_increment"] for row in called)
    told = {"moves": moves, "misses": len(called) - moves}
    return {**told, "expected_increment": money, "share": money / everywhere}


def plan_week(
    release: Release,
    workspace: Path,
    capacity: int,
    share: float,
    tell: Callable[[int], None] = lambda rows: None,
) -> dict[str, Any]:
    """The plan of the week of the live release, drawn the first time and then the same; the caller holds the lock.

    share: [0, .5] of the capacity that a lot decides: so many accounts are called by lot and as many left alone.
    tell: is told of the rows of the file of slots before it is written.

    Returns:
        week, release, as_of, capacity, slots_an_arm, rest_days and resting (how many are passed over),
        already_drawn (it was there), and rows in order of rank: as `calls` gives them, those left alone (`held_out`)
        too, and contact_probability, 1 where no lot could decide.

    Raises:
        PlanDamaged: a plan of this or an earlier week cannot be read.
    """
    plans, week = workspace / "plans", week_of(release.as_of)
    path = plans / f"{week}.json"
    if (kept := _drawn(path)) is not None:
        return {**kept, "already_drawn": True}
    wanted = round(share * capacity)
    rest = resting(release, None)
    rows, pairs, fresh = calls(release, capacity + wanted, {}, rest), wanted, []
    had = _had_a_slot(workspace, plans, week)
    while pairs >= 0:  # fewer pairs reach less far down the list, where fewer can be drawn
        rows = rows[: capacity + pairs]
        fresh = [row["account_id"] for row in rows if row["account_id"] not in had]
        if pairs <= min(max(len(rows) - capacity, 0), len(fresh) // 2):
            break
        pairs -= 1
    drawn = _lot(week, release.name).permutation(len(fresh))[: 2 * pairs].tolist()
    slots = {fresh[place]: SLOTS[number % 2] for number, place in enumerate(drawn)}
    chance = dict.fromkeys(fresh, 1 - pairs / max(len(fresh), 1))
    for row in rows:
        row["kind"] = slots.get(row["account_id"], CONTACTED)
        row["contact_probability"] = chance.get(row["account_id"], 1.0)
    said = {
        "schema_version": SCHEMA_VERSION,
        "week": week.isoformat(),
        "release": release.name,
        "as_of": release.as_of.isoformat(),
        "capacity": capacity,
        "slots_an_arm": pairs,
        "rest_days": _rest_days(release),
        "resting": len(rest),
        "rows": rows,
    }
    plans.mkdir(exist_ok=True)
    tell(len(slots))
    _write_touches(said, plans / f"{week}-touches.csv")
    write_json(said, path)
    return {**said, "already_drawn": False}


def _had_a_slot(workspace: Path, plans: Path, week: date) -> set[str]:
    """Accounts that a lot decided of before: as touches tell, or plans that have not come back as touches yet."""
    earlier = (date.fromisoformat(path.stem) for path in plans.glob("????-??-??.json"))
    had = {account for monday in earlier if monday < week for account in slots_of(plans, monday)}
    with connect(workspace / "warehouse") as con:
        open_warehouse(con, workspace / "warehouse")
        told = con.execute("SELECT DISTINCT account_id FROM touches WHERE kind IN (?, ?)", list(SLOTS)).fetchall()
    return had | {account for (account,) in told}


def _lot(week: date, release: str) -> np.random.Generator:
    """The same for a week and release, whoever draws it."""
    return np.random.default_rng(list(hashlib.sha256(f"{week} {release}".encode()).digest()))


def _write_touches(said: dict[str, Any], path: Path) -> None:
    """Ids as they are: this file is for `ingest`, not for a spreadsheet."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(column.name for column in TOUCHES.columns)
        writer.writerows(_touches(said["rows"], said["as_of"]))
    partial.replace(path)


def _touches(rows: Iterable[dict[str, Any]], day: str) -> Iterable[tuple[str, str, str, str, str]]:
    for row in rows:
        if row["kind"] in SLOTS:
            yield row["account_id"], f"{day}T00:00:00Z", "", row["owner"] or "", row["kind"]
