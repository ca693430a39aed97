"""What past releases promised, compared with what happened: figures that no choice of evaluation can flatter.

Everything else that is said of a model speaks of dates that had passed when it was made. A release spoke first. Once a
horizon has passed and its moves are held, the accounts it named stand here beside the rules of thumb of the same night,
with the figures and intervals of any evaluation.

Of a night as of 2025-07-01, 60 accounts a week to call, read on 2026-02-01: its chances at 90 and 180 days are judged,
those at 270 wait until 2026-04-27 (270 days and 30 of holding later).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.fft import irfft

from features.build import features_at, open_vendor
from features.catalogue import Definitions
from training.contest import Said, contest
from training.dataset import Dataset
from training.document import result
from training.evaluate import EvaluateParams, measure
from training.heldout import CHAMPION, SCHEMA, HeldOut, read_heldout
from training.labels import ON_TOP, labelled, make_labels, outcomes_end
from training.measured import Measured, written
from training.promises import Promise, read_promise
from training.ranking import Floats
from training.realised_headline import headline
from warehouse import progress
from warehouse.accounting import ingested_on
from warehouse.params import section
from warehouse.periods import TARGET, LabelParams
from warehouse.store import Workspace, write_json, write_table

SCHEMA_VERSION = 1
ROWS, SAID = "realised.parquet", "realised.json"
AS_PROMISED, FEWER, MORE = "as promised", "fewer than promised", "more than promised"
GONE = "no longer in the warehouse"


def realised(
    workspace: Workspace,
    document: dict[str, Any],
    folders: Sequence[Path],
    passed_over: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Judges the releases in `folders`, verified, no two of one night; writes artifacts/realised.parquet (rows as in
    heldout.parquet, the release as the champion) and realised.json, and returns that. `passed_over`: releases that are
    not among them, and why.

    Of every release and horizon that can be told by now it says: `results`, every figure of `training.document.result`
    of the release and of each rule of thumb; `promised`, the moves expected and seen, with the 95 % range of the latter
    if every chance was true, and a verdict; `parts`, the same by band, by quarter of sign-up, and of the accounts that
    the team had the capacity to call; `headline`, what is said first, null where nothing can be told yet.
    """
    definitions, labels = Definitions.from_params(document), section(document, "labels", LabelParams)
    params = section(document, "evaluate", EvaluateParams)
    read = {folder.name: read_promise(folder) for folder in folders}
    promises = [promise for promise in read.values() if isinstance(promise, Promise)]
    skipped = dict(passed_over or {}) | {name: why for name, why in read.items() if isinstance(why, str)}
    blocks: list[pa.Table] = []
    nights = []
    with progress.stage("realised") as say, open_vendor(workspace) as con:
        until = outcomes_end(con, ingested_on(workspace.warehouse))
        for number, promise in enumerate(promises):
            say(f"{promise.name} ({number + 1} of {len(promises)})")
            came = _came(con, workspace, promise, definitions, labels, until)
            blocks += _rows(promise, came)
            nights.append(_night(promise, came, labels))
        table = pa.concat_tables(blocks) if blocks else SCHEMA.empty_table()
        write_table(table, workspace.artifacts / ROWS)
        of_night = {promise.as_of: promise for promise in promises}
        judged = [(of_night[rows.as_of], rows) for rows in read_heldout(workspace.artifacts / ROWS)]
        results: list[dict[str, Any]] = []
        for number, (promise, rows) in enumerate(judged):
            say(f"{promise.name} at {rows.horizon} days ({number + 1} of {len(judged)})")
            results += _results(promise, measure(rows, _as_called(params, promise)))
        said = {
            "schema_version": SCHEMA_VERSION,
            "known_until": until.isoformat(),
            "releases": nights,
            "skipped": [{"release": name, "why": why} for name, why in sorted(skipped.items())],
            "results": results,
            "promised": [_promised(one, rows) for one, rows in judged],
            "parts": [row for one, rows in judged for row in _parts(one, rows)],
        }
        said["headline"] = headline(said)
        write_json(said, workspace.artifacts / SAID)
        say(f"{len(judged)} horizons of {len(promises)} releases told by {until}; {len(skipped)} releases left out")
    return said


def _came(
    con: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    promise: Promise,
    definitions: Definitions,
    labels: LabelParams,
    until: date,
) -> Dataset:
    """What the accounts of a promise looked like that night, for the rules of thumb, and what became of them. Where
    they stood is what the release said, by its own ladder."""
    books = promise.said.select(["account_id", "as_of", "tier", "run_rate"])
    asked = labels.model_copy(update={"horizons": promise.horizons, "default_horizon": promise.default_horizon})
    told = make_labels(con, books, promise.definitions(definitions), asked, until)
    features = features_at(con, workspace, books.select(["account_id", "as_of"]), definitions)
    there = pc.is_in(told["account_id"], features["account_id"].combine_chunks())
    return Dataset(features, told.filter(there))


def _rows(promise: Promise, came: Dataset) -> Iterator[pa.Table]:
    said = promise.said.filter(pc.is_in(promise.said["account_id"], came.features["account_id"].combine_chunks()))
    served = np.asarray(said["score"].to_numpy(), dtype=np.float64)
    for h in promise.horizons:
        label = came.outcome(TARGET, h)
        held = ~np.isnan(label)
        if not held.any():
            continue
        chance, expected = (np.asarray(said[f"{what}_{h}"].to_numpy()) for what in ("probability", "increment"))
        release = Said(chance, served, chance, expected)  # money in the order that people were given
        increment = came.money(f"increment_{h}")[held]
        yield from contest(
            TARGET, h, promise.learned_to, came.take(held), label[held], increment, {CHAMPION: release.of(held)}
        )


def _night(promise: Promise, came: Dataset, labels: LabelParams) -> dict[str, Any]:
    """Of one release: who is in it, and at which horizon how many can be judged, the others by reason."""
    out: dict[str, Any] = {
        "release": promise.name,
        "as_of": promise.as_of.isoformat(),
        "learned_to": promise.learned_to.isoformat(),
        "bundle_id": promise.bundle_id,
        "default_horizon": promise.default_horizon,
        "capacity": promise.capacity,
        "currency": promise.currency,
        "accounts": len(promise.said) + promise.top,
        "horizons": [],
    }
    tier = pa.chunked_array([pa.array(_of(promise, "tier", came.features["account_id"]))])
    for h in promise.horizons:
        found = labelled(came.labels, tier, promise.tiers, TARGET, h)
        reasons = {name: count for name, count in found.out.items() if count}
        reasons |= {name: n for name, n in ((GONE, len(promise.said) - len(came)),) if n}
        reasons[ON_TOP] = reasons.get(ON_TOP, 0) + promise.top
        complete = promise.as_of + timedelta(days=h + labels.maturing_days)
        out["horizons"].append(
            {"horizon": h, "complete_on": complete.isoformat(), "judged": found.taken, "out": reasons}
        )
    return out


def _results(promise: Promise, table: Measured) -> Iterator[dict[str, Any]]:
    for name in table.listed:
        yield {"release": promise.name, **result(table, name)}


def _as_called(params: EvaluateParams, promise: Promise) -> EvaluateParams:
    return params.model_copy(update={"called": promise.capacity})


def _promised(promise: Promise, rows: HeldOut) -> dict[str, Any]:
    every = np.ones(len(rows.label), dtype=bool)
    return {"release": promise.name, "horizon": rows.horizon, **_held_against(rows, every)}


def _parts(promise: Promise, rows: HeldOut) -> Iterator[dict[str, Any]]:
    """By axis `band`, `cohort` (quarter of sign-up) and `called` (the first `capacity` ranks)."""
    axes: dict[str, np.ndarray] = {
        "band": _of(promise, "band", rows.account_id),
        "cohort": _quarters(promise.as_of, _of(promise, "tenure_days", rows.account_id)),
        "called": np.where(_of(promise, "rank", rows.account_id) <= promise.capacity, "yes", "no"),
    }
    for axis, value in axes.items():
        for name in sorted(set(value)):
            told = _held_against(rows, value == name)
            yield {"release": promise.name, "horizon": rows.horizon, "axis": axis, "part": str(name), **told}


def _held_against(rows: HeldOut, inside: np.ndarray) -> dict[str, Any]:
    """Moves and money expected and seen of the rows `inside`; money is that of accounts that moved."""
    said = rows.candidates[CHAMPION]
    assert said.probability is not None
    assert said.expected is not None
    chance, came = said.probability[inside], int(rows.label[inside].sum())
    low, high = count_range(chance)
    gained = float((rows.label * np.maximum(rows.increment, 0.0))[inside].sum())
    return {
        "n": int(inside.sum()),
        "expected": written(float(chance.sum())),
        "seen": came,
        "if_true": [low, high],
        "verdict": FEWER if came < low else MORE if came > high else AS_PROMISED,
        "money_expected": written(float(said.expected[inside].sum())),
        "money_gained": written(gained),
    }


def count_range(chance: Floats, level: float = 0.95) -> tuple[int, int]:
    """The central range [low, high] that holds the number of accounts that move with at least chance `level`, if each
    of them moves by itself with its `chance` (n,): Poisson-binomial, by the transform of its characteristic function
    (Hong 2013). Counts nine standard deviations above the mean and more have no chance worth a bit."""
    mean, spread = float(chance.sum()), float(np.sqrt((chance * (1 - chance)).sum()))
    size = min(len(chance), int(np.ceil(mean + 9 * spread)) + 9) + 1
    turn = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    logs = np.zeros(len(turn), dtype=complex)
    with np.errstate(divide="ignore"):  # a chance of one half has a characteristic function of 0 at half a turn
        for part in np.array_split(chance, max(1, len(chance) * size // 4_000_000)):
            logs += np.log1p(np.outer(part, turn - 1)).sum(axis=0)
    upto = np.cumsum(np.maximum(irfft(np.exp(logs), size), 0.0))
    tail = (1 - level) / 2
    return int(np.searchsorted(upto, tail)), int(np.searchsorted(upto, 1 - tail))


def _of(promise: Promise, column: str, accounts: Iterable[Any]) -> np.ndarray:
    """A column of the release in the order of `accounts`, which are some of its own."""
    place = pc.index_in(pa.array(accounts, pa.string()), promise.said["account_id"].combine_chunks())
    return np.asarray(promise.said[column].take(place).to_numpy(zero_copy_only=False))


def _quarters(as_of: date, tenure_days: np.ndarray) -> np.ndarray:
    signed_up = (np.datetime64(as_of) - tenure_days.astype("timedelta64[D]")).astype("datetime64[M]").astype(int)
    return np.array([f"{1970 + month // 12}-Q{month % 12 // 3 + 1}" for month in signed_up.tolist()])
