"""What is measured of the past, before it is a feature: each measure once, in the windows that features ask for.

A feature is an expression over *cells*. A cell is a measure in a window:

    events_28        the 28 days [as_of - 28, as_of)
    events_28_56     the 28 days before them, [as_of - 56, as_of - 28)
    events_life      all that was known before as_of
    events_q2        the second quarter of the account's life, its days [90, 180) since sign-up, as far as it is known

A cell of op `sum` or `or` without rows is 0 (the vendor could see, nothing happened); one of op `min` or `max` is null
(there is nothing it could be of). Of stays every cell is null until the first one is told: a vendor that says nobody
belongs to an account says nothing of its seats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from warehouse.asof import REACH

Rows = Literal["days", "users", "people", "invoices", "stays"]
Op = Literal["sum", "min", "max", "or"]
QUARTERS = 4  # of an account's life that have cells of their own
QUARTER_DAYS = 90


@dataclass(frozen=True)
class Measure:
    """rows: what it is taken from: `days` (an account's days), `users` (the first and the last row of each user),
    `people` (what each user did in the window), `invoices`, `stays` (of users in the account). sql: its value on one
    row; of a stay, on each of its days; of its season days, on each hundredth of one (features/season.py). op: how rows
    come together; `or` joins bits and counts them in the end. type: of the cell while it is summed up, exact.
    """

    name: str
    rows: Rows
    sql: str
    op: Op = "sum"
    type: str = "BIGINT"

    @property
    def anew(self) -> bool:
        """Whether a life of it is summed up anew at every as_of; the others run on from as_of to as_of."""
        return self.rows in ("invoices", "stays")


def _first_last(kind: str) -> tuple[Measure, Measure]:
    """Days on which a kind of event was first and last seen."""
    seen = f"CASE WHEN {kind} > 0 THEN day END"
    return (
        Measure(f"first_{kind}", "days", seen, "min", "DATE"),
        Measure(f"last_{kind}", "days", seen, "max", "DATE"),
    )


MEASURES: tuple[Measure, ...] = (
    Measure("events", "days", "events"),
    Measure("specialist", "days", "specialist"),
    Measure("configuration", "days", "configuration"),
    Measure("limits", "days", "limits"),
    Measure("tickets", "days", "tickets"),
    Measure("intent", "days", "intent"),
    Measure("plain", "days", "events - specialist - configuration - limits - tickets - intent"),
    Measure("quantity", "days", "quantity", type="DECIMAL(38, 4)"),
    Measure("user_days", "days", "user_days"),
    Measure("active_days", "days", "CASE WHEN opens THEN 1 ELSE 0 END"),
    Measure("event_ages", "days", "events * age"),
    Measure("active_weeks", "days", "week_bit", "or"),
    Measure("breadth", "days", "mask", "or"),
    Measure("specialist_breadth", "days", "mask", "or"),
    *_first_last("events"),
    *_first_last("specialist"),
    *_first_last("configuration"),
    *_first_last("limits"),
    *_first_last("intent"),
    Measure("users", "users", "CASE WHEN is_last THEN 1 ELSE 0 END"),
    Measure("new_users", "users", "CASE WHEN is_first THEN 1 ELSE 0 END"),
    Measure("last_new_user", "users", "CASE WHEN is_first THEN day END", "max", "DATE"),
    Measure("busiest_user", "people", "acts", "max"),
    Measure("named_events", "people", "acts"),
    Measure("users_then", "people", "CASE WHEN acts > 0 THEN 1 ELSE 0 END"),
    Measure("booked", "invoices", "amount", type="DECIMAL(38, 4)"),
    Measure("invoices", "invoices", "CASE WHEN amount > 0 THEN 1 ELSE 0 END"),
    Measure("credits", "invoices", "CASE WHEN amount < 0 THEN -amount ELSE 0 END", type="DECIMAL(38, 4)"),
    Measure("largest", "invoices", "CASE WHEN amount > 0 THEN amount END", "max", "DECIMAL(38, 4)"),
    Measure("first_invoice", "invoices", "CASE WHEN amount > 0 THEN day END", "min", "DATE"),
    Measure("last_invoice", "invoices", "CASE WHEN amount > 0 THEN day END", "max", "DATE"),
    Measure("served", "invoices", "rate", type="DECIMAL(38, 10)"),
    Measure("seats", "stays", "1"),
    Measure("season_days", "stays", "1"),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
KEYS = "account_id, as_of"
MASKED = ("breadth", "specialist_breadth")  # their row value is a set of event names, in words of 63 bits
ON_A_DAY = ("served", "seats")  # served_28: money per 30 days served on the day that ended 28 days before as_of

_NAMES = "|".join(sorted(BY_NAME, key=len, reverse=True))
CELL = re.compile(rf"\b({_NAMES})_(?:(\d+)(?:_(\d+))?|(life)|q([1-{QUARTERS}]))\b")


@dataclass(frozen=True)
class Cell:
    """A measure in a window: ages in (low, high] days; without `high` all of life, or the quarter of life numbered."""

    measure: str
    high: int | None = None
    low: int = 0
    quarter: int = 0

    def __lt__(self, other: Cell) -> bool:
        return self.name < other.name

    @property
    def name(self) -> str:
        if self.high is None:
            return f"{self.measure}_{f'q{self.quarter}' if self.quarter else 'life'}"
        return f"{self.measure}_{f'{self.low}_' if self.low else ''}{self.high}"

    @property
    def of(self) -> Measure:
        return BY_NAME[self.measure]

    @property
    def within(self) -> str:
        """SQL for whether a row of age `age` lies in the window."""
        return f"age <= {self.high}" + (f" AND age > {self.low}" if self.low else "")


def cell(found: re.Match[str]) -> Cell:
    """The cell that a match of CELL names."""
    measure, first, second, life, quarter = found.groups()
    if life or quarter:
        return Cell(measure, quarter=int(quarter or 0))
    return Cell(measure, int(second or first), int(first) if second else 0)


def refusal(cell: Cell) -> str | None:
    """Why no feature may ask for `cell`; null if one may."""
    measure, life = cell.of, cell.high is None
    if measure.rows == "users" and (cell.low or (life and measure.name != "users")):
        return (
            "users are told for windows that end at as_of, and for life; use users_then_28_56 for a window further back"
        )
    if measure.rows == "people" and life:
        return "what each user did is told for windows only"
    if measure.name in ON_A_DAY and (life or cell.low):
        return f"{measure.name} is told of one day: {measure.name}_28 is of the day that ended 28 days before as_of"
    if measure.anew and cell.quarter:
        return f"{measure.rows} are told for windows and for life"
    if not measure.anew and cell.high is not None and cell.high > REACH:
        return f"it looks back more than {REACH} days; use _life or a quarter of life"
    if cell.high is not None and measure.name not in ON_A_DAY and cell.low >= cell.high:
        return "its window is empty; give the nearer day first, as in events_28_56"
    if life and ("age" in measure.sql or "week_bit" in measure.sql):
        return "it is told in days before as_of, so for windows only"
    return None


def with_cells(sql: str) -> str:
    """An expression over cells as SQL over the stage `cells` (features/windows.py)."""
    return CELL.sub(lambda found: f"c_{cell(found).name}", sql)
