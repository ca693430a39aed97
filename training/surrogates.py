"""Surrogate outcomes: what the months after a snapshot brought, foreseen for every snapshot.

Few accounts expand, so which signs of today speak of growth is hard to learn from expansions alone. How much an account
uses and pays some months later is known of nearly every snapshot and springs from the same hidden state; what is
foreseen of it sums those signs up in a few numbers (surrogate outcomes: Athey, Chetty, Imbens & Kang 2019). Training
only: what is served reads the features of its day alone, see `teacher.py`.
"""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np

from models.boosting import fit_boosters
from models.encoding import Encoding
from models.logistic import signed_log
from models.side_by_side import threads
from training.dataset import Dataset

SURROGATES = (
    "users_28d",
    "user_days_28d",
    "attendance_28d",
    "new_users_28d",
    "specialist_28d",
    "configuration_28d",
    "run_rate",
    "booked_90d",
)
LATER = (30, 182)  # days from a snapshot to those that tell what became of it
SLACK = 16  # days that such a one may lie off
HALVES = 2  # of the accounts: each is foreseen by what the other taught
MOST_ROWS = 20_000  # snapshots that teach one half
LEAST_ROWS = 1_000  # fewer teach nothing that the features do not say themselves
ROUNDS = 40
TREES = {"num_leaves": 31, "learning_rate": 0.12, "min_data_in_leaf": 100, "feature_fraction": 0.3}


def later(data: Dataset, days: int) -> tuple[np.ndarray, np.ndarray]:
    """What became of each snapshot's surrogates about `days` later.

    Returns:
        (n, surrogates) signed logs of the same account's features at that day, 0 where it was closed by then; and
        (n,) bool: whether that day is one of those of `data`. A later day is not known yet, and tells nothing.
    """
    day = data.features["as_of"].to_numpy().astype("datetime64[D]").astype(np.int64)
    grid = np.unique(day)
    off = np.abs(grid[None, :] - (grid[:, None] + days))
    then = np.where(off.min(axis=1) <= SLACK, grid[off.argmin(axis=1)], -1)[np.searchsorted(grid, day)]
    account = data.account_numbers() << 20
    here, there = account + day, account + then  # `here` ascends, rows being sorted by account and date
    place = np.minimum(np.searchsorted(here, there), len(here) - 1)
    columns = [data.features[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in SURROGATES]
    value = np.nan_to_num(np.column_stack(columns))[place]
    return np.where((here[place] == there)[:, None], signed_log(value), 0.0), then >= 0


def foresee(
    pool: Executor, data: Dataset, encoding: Encoding, matrix: np.ndarray, asked: np.ndarray, seed: int
) -> np.ndarray | None:
    """(n, k) what the surrogates of each row of `matrix` will be, in signed logs, as trees say that the other half of
    the accounts taught; NaN in rows that are not among the places `asked`. Null where the history is too short to tell,
    or nothing varies."""
    account, rng = data.account_numbers(), np.random.default_rng([seed, HALVES])
    half = rng.integers(0, HALVES, account.max(initial=0) + 1)[account]
    found: list[np.ndarray] = [np.zeros((len(matrix), 0))]
    lessons: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for days in LATER:
        value, told = later(data, days)
        if told.sum() < LEAST_ROWS:
            continue
        value = value[:, value[told].std(axis=0) > 0]
        found.append(np.full(value.shape, np.nan))
        for one in range(HALVES):
            taught = np.flatnonzero(told & (half != one))
            if len(taught) > MOST_ROWS:
                taught = np.sort(rng.choice(taught, MOST_ROWS, replace=False))
            lessons.append((taught, value[taught], asked[half[asked] == one], found[-1]))

    def learn(lesson: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> None:
        taught, value, others, said = lesson
        names, categories = list(encoding.names), encoding.category_columns
        boosters = fit_boosters(matrix[taught], value, TREES, ROUNDS, seed, names=names, categories=categories)
        rows = matrix[others]
        for column, booster in enumerate(boosters):
            said[others, column] = booster.predict(rows, num_threads=threads())

    list(pool.map(learn, lessons))
    foreseen = np.column_stack(found)
    return foreseen if foreseen.shape[1] else None
