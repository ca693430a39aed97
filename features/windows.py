"""The window engine: from daily rows to one row a snapshot, as SQL in named stages that DuckDB and Spark both run.

    user_days ──> account_days ──> recent_days ─┐
        │              └────────> life_steps ───┼──> life ──> cells ──> features
        └──> timeline ──> recent_users, people ─┤                ▲
                     └──> life_users ───────────┘                │
    revenue_days ──> invoices, peers ── accounts ──> account ────┤
    account_users, season ──> seated ────────────────────────────┘
        account_days, accounts ──> season

No stage joins over a range of dates or counts DISTINCT: `ages` and `arrivals` (warehouse/asof.py) are small tables, a
user is counted by the one row that is its first or last at an as_of, and names are counted by the bits of a mask.
Totals of a life run over the dates of the spine; what was known before `folded` comes summed up, as folded_accounts and
folded_users.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from features.measures import KEYS, MASKED, ON_A_DAY, QUARTER_DAYS, Cell, Measure
from features.peers import peers_stages
from features.season import season_days, season_stages
from warehouse import asof
from warehouse.engine import Stage

KINDS = ("specialist", "configuration", "limits", "tickets", "intent")
RELATIONS = {
    "days": "recent_days",
    "users": "recent_users",
    "people": "people",
    "invoices": "invoices",
    "stays": "seated",
}
THERE = "start_age > {0} AND end_age <= {0}"  # whether a row that has a start and an end covers that day
MERGE = {"sum": "sum", "min": "min", "max": "max", "or": "bit_or"}


@dataclass(frozen=True)
class Layout:
    """What the daily rows look like. specialist: one word of 63 bits each, the names that are specialist functions.
    folded: the midnight before which everything known is in the fold; null without one. given: whether the relations
    of the whole vendor (features/vendor.py) are there already."""

    specialist: tuple[int, ...] = (0,)
    folded: date | None = None
    given: bool = False

    @property
    def words(self) -> range:
        return range(len(self.specialist))


@dataclass(frozen=True)
class Column:
    """A column of a life relation: value on one row, and how values merge."""

    name: str
    sql: str
    op: str
    type: str
    rows: str = "days"


def stages(cells: Iterable[Cell], layout: Layout) -> list[Stage]:
    """The relations from user_days, revenue_days, accounts, account_users, spine, folded_accounts and folded_users up
    to `cells`: one row a snapshot of the spine that had signed up, with account_id, as_of, tenure_days, closed, what
    was told at sign-up, and one column `c_<cell>` each. A relation that no cell asks for is left out."""
    wanted = sorted(cells)
    life = life_columns([one for one in wanted if one.high is None and not one.of.anew], layout)
    by = _summed_anew(wanted)
    queries: dict[str, Callable[[list[Cell]], str]] = {
        "days": lambda cells: _recent_days(cells, layout),
        "users": _recent_users,
        "people": _people,
        "invoices": _invoices,
        "stays": _seated,
    }

    def summed(rows: str) -> list[Stage]:
        return [Stage(RELATIONS[rows], queries[rows](by[rows]))] if rows in by else []

    return [
        Stage("dates", asof.dates()),
        Stage("account_days", _account_days(layout), "account_id, day"),
        Stage("ages", asof.ages("account_days")),
        Stage("arrivals", asof.arrivals("account_days")),
        *summed("days"),
        Stage("timeline", _timeline(), "account_id, day"),
        *summed("users"),
        *summed("people"),
        *life_stages(life, layout),
        *summed("invoices"),
        *(season_stages(layout.given, _season_bounds(by["stays"])) if "stays" in by else []),
        *summed("stays"),
        *peers_stages(layout.given),
        Stage("account", asof.accounts_past()),
        Stage("cells", _cells(wanted, layout)),
    ]


def _summed_anew(wanted: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Cells by what they are taken from; those of a life or a quarter of it run on from as_of to as_of instead."""
    by: dict[str, list[Cell]] = {}
    for one in wanted:
        if one.high is not None or one.of.anew:
            by.setdefault(one.of.rows, []).append(one)
    return by


def fold_stages(columns: list[Column], layout: Layout, at: date) -> list[Stage]:
    """The relations up to `life` alone: what a fold at the midnight `at` is made of."""
    return [
        Stage("dates", f"SELECT DATE '{at}' AS as_of"),
        Stage("account_days", _account_days(layout), "account_id, day"),
        Stage("arrivals", asof.arrivals("account_days")),
        Stage("timeline", _timeline(), "account_id, day"),
        *life_stages(columns, layout),
    ]


def _account_days(layout: Layout) -> str:
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in ("events", *KINDS))
    masks = ", ".join(f"bit_or(mask_{k}) AS mask_{k}" for k in layout.words)
    return f"""
        SELECT account_id, day, known_day, {sums}, CAST(sum(user_day) AS BIGINT) AS user_days,
               CAST(sum(quantity) AS DECIMAL(38, 4)) AS quantity, {masks},
               row_number() OVER (PARTITION BY account_id, day ORDER BY known_day) = 1 AS opens
        FROM user_days GROUP BY account_id, day, known_day"""


def _recent_days(cells: list[Cell], layout: Layout) -> str:
    columns = ",\n ".join(f"{_windowed(one, layout)} AS {one.name}" for one in cells)
    rows = asof.recent("account_days", "f.*, a.as_of, a.age, a.week_bit")
    return f"SELECT {KEYS},\n {columns}\nFROM ({rows}) AS r GROUP BY {KEYS}"


def _windowed(one: Cell, layout: Layout) -> str:
    if one.measure in MASKED:
        return _bits(one.of, layout, lambda k: f"bit_or({_within(one, f'mask_{k}')})")
    if one.of.op == "or":
        return f"bit_count(coalesce(bit_or({_within(one)}), 0))"
    return f"{one.of.op}({_within(one)})"


def _within(one: Cell, sql: str = "") -> str:
    """The cell's value on a row inside its window, else null. (FILTER says the same, a quarter slower.)"""
    return f"CASE WHEN {one.within} THEN {sql or one.of.sql} END"


def _bits(measure: Measure, layout: Layout, word: object) -> str:
    """SQL for the number of names in a set whose k-th word is `word(k)`."""
    counted = []
    for k in layout.words:
        value = f"coalesce({word(k)}, 0)"  # type: ignore[operator]
        kept = f"({value} & {layout.specialist[k]})" if measure.name == "specialist_breadth" else value
        counted.append(f"CAST(bit_count({kept}) AS BIGINT)")
    return " + ".join(counted)


def _timeline() -> str:
    rows = asof.timeline("user_days", "f.account_id, f.user_id, f.day, f.known_day, f.events")
    return f"""
        SELECT t.*, g.first_day AS folded_first FROM ({rows}) AS t
        LEFT JOIN folded_users AS g ON g.account_id = t.account_id AND g.user_id = t.user_id"""


def _recent_users(cells: list[Cell]) -> str:
    columns = ", ".join(f"{one.of.op}({_within(one)}) AS {one.name}" for one in cells)
    rows = asof.recent(
        "timeline", f"f.account_id, f.day, a.as_of, a.age, {asof.IS_LAST} AS is_last, {asof.IS_FIRST} AS is_first"
    )
    return f"SELECT {KEYS}, {columns} FROM ({rows}) AS r WHERE is_last OR is_first GROUP BY {KEYS}"


def _people(cells: list[Cell]) -> str:
    windows = {one.name.removeprefix(one.measure): one for one in cells}
    acts = ", ".join(f"coalesce(sum({_within(one, 'events')}), 0) AS acts{w}" for w, one in windows.items())
    reach = max(one.high or 0 for one in cells)
    columns = ", ".join(
        f"{one.of.op}({one.of.sql.replace('acts', f'acts{one.name.removeprefix(one.measure)}')}) AS {one.name}"
        for one in cells
    )
    rows = asof.recent("timeline", "f.account_id, f.user_id, f.events, a.as_of, a.age")
    return f"""
        SELECT {KEYS}, {columns} FROM (
            SELECT account_id, user_id, as_of, {acts} FROM ({rows}) AS r
            WHERE age <= {reach} GROUP BY account_id, user_id, as_of) AS u GROUP BY {KEYS}"""


def life_columns(cells: list[Cell], layout: Layout) -> list[Column]:
    """The columns of which `cells` (of life, or of a quarter of it) are made; those of one mask stand once."""
    out: dict[str, Column] = {}
    for one in cells:
        measure, of_quarter = one.of, f"quarter = {one.quarter}"
        if one.measure in MASKED:
            for k in layout.words:
                out[f"mask_life_{k}"] = Column(f"mask_life_{k}", f"mask_{k}", "or", "BIGINT")
            continue
        sql = "1" if measure.rows == "users" else measure.sql
        if one.quarter:
            sql = f"CASE WHEN {of_quarter} THEN {sql} END"
        out[one.name] = Column(one.name, sql, measure.op, measure.type, measure.rows)
    return list(out.values())


def life_stages(columns: list[Column], layout: Layout) -> list[Stage]:
    """Running totals: `life` has a row for every snapshot of the spine (and for dates at which something arrived), each
    with all that was known before it."""
    keys, spread = ("account_id", "as_of"), {"days": "f.day", "users": "f.known_day"}
    steps = []
    for rows, facts in (("days", "account_days"), ("users", "timeline")):
        mine = [column for column in columns if column.rows == rows]
        kept = "f.*" if rows == "days" else f"f.account_id, f.known_day, {asof.IS_ENTRY} AS is_entry"
        quarter = (
            f"floor(date_diff('day', CAST(o.created_at AS DATE), {spread[rows]}) / CAST({QUARTER_DAYS} AS DOUBLE)) + 1"
        )
        source = f"""
            SELECT f.*, {quarter} AS quarter FROM ({asof.arrived(facts, f"{kept}, a.as_of", layout.folded)}) AS f
            LEFT JOIN accounts AS o ON o.account_id = f.account_id{" WHERE f.is_entry" if rows == "users" else ""}"""
        merged = ", ".join(f"{_merged(column, column.sql)} AS {column.name}" for column in mine)
        steps.append(Stage(f"life_{rows}", f"SELECT {KEYS}, {merged} FROM ({source}) AS r GROUP BY {KEYS}"))
    nothing = {column.name: f"CAST(NULL AS {column.type})" for column in columns}
    pieces = [
        _selected(keys, nothing | {c.name: c.name for c in columns if c.rows == rows}, f"life_{rows}")
        for rows in ("days", "users")
    ]
    pieces.append(_selected(keys, nothing, "spine"))
    own = {column.name: column.name for column in columns}
    pieces.append(_selected(("account_id", "(SELECT min(as_of) FROM dates) AS as_of"), own, "folded_accounts"))
    every = " UNION ALL ".join(pieces)
    merged = ", ".join(f"{_merged(column, column.name)} AS {column.name}" for column in columns)
    running = ", ".join(f"{_merged(column, column.name, ' OVER w')} AS {column.name}" for column in columns)
    return [
        *steps,
        Stage("life_steps", f"SELECT {KEYS}, {merged} FROM ({every}) AS p GROUP BY {KEYS}"),
        Stage(
            "life",
            f"SELECT {KEYS}, {running} FROM life_steps WINDOW w AS (PARTITION BY account_id ORDER BY as_of "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
        ),
    ]


def _merged(column: Column, sql: str, over: str = "") -> str:
    return f"CAST({MERGE[column.op]}({sql}){over} AS {column.type})"


def _selected(keys: Iterable[str], columns: dict[str, str], relation: str) -> str:
    return f"SELECT {', '.join([*keys, *(f'{sql} AS {name}' for name, sql in columns.items())])} FROM {relation}"


def _invoices(cells: list[Cell]) -> str:
    columns = []
    for one in cells:
        value = one.of.sql
        if one.measure in ON_A_DAY:
            columns.append(f"round(sum(CASE WHEN {THERE.format(one.high)} THEN {value} END), 6) AS {one.name}")
        else:
            columns.append(f"{one.of.op}({_within(one) if one.high else value}) AS {one.name}")
    rows = asof.past(
        "revenue_days",
        "f.day, f.amount, f.rate, date_diff('day', f.first_day, s.as_of) AS start_age, "
        "date_diff('day', f.last_day, s.as_of) AS end_age",
    )
    return f"SELECT {KEYS}, {', '.join(columns)} FROM ({rows}) AS r GROUP BY {KEYS}"


def _seated(cells: list[Cell]) -> str:
    """A stay covers a day, or so many season days of a window (features/season.py)."""
    columns = []
    for one in cells:
        days = f"CASE WHEN {THERE.format(one.high)} THEN 1 ELSE 0 END"
        if one.measure not in ON_A_DAY:
            first = f"least(season_start, season_{one.high})" if one.high else "season_start"
            last = f"greatest(season_end, season_{one.low})" if one.low else "season_end"
            days = f"greatest({first} - {last}, 0)"
        columns.append(f"{one.of.op}({one.of.sql} * {days}) AS {one.name}")
    ends = f"{season_days('start_age')} AS season_start, {season_days('end_age')} AS season_end"
    bounds = "".join(f", season_{bound}" for bound in _season_bounds(cells))
    rows = f"""SELECT r.account_id, r.as_of, start_age, end_age, {ends}{bounds}
        FROM ({asof.stays_past()}) AS r JOIN season AS s ON s.as_of = r.as_of"""
    return f"SELECT {KEYS}, {', '.join(columns)} FROM ({rows}) AS r GROUP BY {KEYS}"


def _season_bounds(cells: Iterable[Cell]) -> list[int]:
    """Ages in days at which the windows of season days begin and end."""
    return sorted({bound for one in cells if one.measure not in ON_A_DAY for bound in (one.low, one.high) if bound})


def _cells(wanted: list[Cell], layout: Layout) -> str:
    columns = []
    for one in wanted:
        value = f"{RELATIONS[one.of.rows]}.{one.name}"
        if one.high is None and not one.of.anew:
            masked = one.measure in MASKED
            value = _bits(one.of, layout, lambda k: f"life.mask_life_{k}") if masked else f"life.{one.name}"
        if one.of.op in ("sum", "or") and one.of.rows != "stays":
            value = f"coalesce({value}, 0)"
        columns.append(f"{value if one.of.type == 'DATE' else f'CAST({value} AS DOUBLE)'} AS c_{one.name}")
    by = _summed_anew(wanted)
    joins = "\n".join(
        f"LEFT JOIN {name} ON {name}.account_id = account.account_id AND {name}.as_of = account.as_of"
        for name in (*(name for rows, name in RELATIONS.items() if rows in by), "life", "peers_seen")
    )
    return (
        "SELECT account.*, peers_seen.peers, peers_seen.peers_paying, peers_seen.peers_booked,\n "
        + ",\n ".join(columns)
        + f"\nFROM account\n{joins}"
    )
