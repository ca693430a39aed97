"""What came after an origin changes nothing of what is known, learned or said there."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.training.test_train import DEFINITIONS, LABELS, PARAMS, prepared
from training import judging
from training.dataset import Dataset
from training.errors import PlanBroken
from training.recipe import Run
from training.splits import Origin
from warehouse.engine import connect
from warehouse.periods import TARGETS
from warehouse.store import Workspace, open_warehouse, read_table, write_table

ORIGIN = Origin(date(2025, 1, 1), (90,))  # of data to July: five months teach, and four come after it


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return prepared(tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def blind(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse without what was booked or closed, and who signed up, at the origin or after it."""
    folder, origin = tmp_path_factory.mktemp("blind") / "warehouse", ORIGIN.as_of
    shutil.copytree(workspace.warehouse, folder)
    for table, clock in (("revenue", "booked_at"), ("accounts", "created_at")):
        rows = read_table(folder / table)
        rows = rows.filter(pc.less(rows[clock].cast(pa.date32()), pa.scalar(origin)))
        if table == "accounts":
            closed = rows["closed_at"]
            later = pc.fill_null(pc.greater_equal(closed.cast(pa.date32()), pa.scalar(origin)), False)
            wiped = pc.if_else(later, pa.scalar(None, closed.type), closed)
            rows = rows.set_column(rows.column_names.index("closed_at"), "closed_at", wiped)
        shutil.rmtree(folder / table)
        write_table(rows, folder / table / "all.parquet")
    return folder


def a_run(workspace: Workspace) -> Run:
    return Run(DEFINITIONS, LABELS, PARAMS, read_table(workspace.artifacts / "features.parquet"), date(2026, 1, 1))


def in_full(workspace: Workspace) -> Dataset:
    return Dataset(a_run(workspace).features, read_table(workspace.artifacts / "labels.parquet"))


def known_at_origin(workspace: Workspace, folder: Path) -> Dataset:
    with connect(folder) as con:
        open_warehouse(con, folder)
        return a_run(workspace).known_at(con, ORIGIN.as_of)


def said_at_origin(workspace: Workspace, folder: Path, full: Dataset) -> pa.Table:
    with connect(folder) as con:
        open_warehouse(con, folder)
        return pa.concat_tables(judging._judge(a_run(workspace), con, full, ORIGIN, 90))


def with_nonsense(full: Dataset) -> Dataset:
    """Every label of a snapshot before the origin tells something else."""
    labels, now = full.labels, pa.array(np.asarray(pc.equal(full.labels["as_of"], pa.scalar(ORIGIN.as_of))))
    for name in labels.column_names[2:]:
        kind = labels.schema.field(name).type
        wild = (np.arange(len(full)) % 7 == 0) if pa.types.is_boolean(kind) else np.arange(len(full)) % 80
        mixed = pc.if_else(now, labels[name], pa.array(wild).cast(kind))
        labels = labels.set_column(labels.column_names.index(name), name, mixed)
    return Dataset(full.features, labels)


def test_the_model_that_is_judged_forgets_what_it_could_not_have_known(workspace: Workspace, blind: Path) -> None:
    """Outcomes after the origin are wiped from the warehouse; what is known at the origin stays the same."""
    known = [known_at_origin(workspace, folder) for folder in (workspace.warehouse, blind)]
    assert known[0].features.equals(known[1].features)
    assert known[0].labels.equals(known[1].labels)
    assert known[0].labels["churn_day"].null_count < len(known[0])
    assert max(day for day in known[0].features["as_of"].to_pylist()) < ORIGIN.as_of


def test_what_is_said_at_an_origin_is_the_same_whatever_came_after_it(workspace: Workspace, blind: Path) -> None:
    """Facts after the origin are wiped, and labels of earlier snapshots, as told today, are nonsense: the champion and
    all beside it say the same of each account, to the last bit."""
    full = in_full(workspace)
    said = said_at_origin(workspace, workspace.warehouse, full)
    assert {"champion", "position"} < set(said["candidate"].to_pylist())
    assert set(said["target"].to_pylist()) == set(TARGETS)
    assert said_at_origin(workspace, blind, with_nonsense(full)).equals(said)


def test_a_model_is_not_fitted_on_what_was_told_after_its_date(workspace: Workspace) -> None:
    """The mistake that keeps every row before the origin, with the outcomes that are known today."""
    run, full, day = a_run(workspace), in_full(workspace), ORIGIN.as_of
    past = full.take(np.asarray(pc.less(full.features["as_of"], pa.scalar(day))))
    with pytest.raises(PlanBroken, match=f"known before 2025-07-01, and a model of {day} is to learn from them"):
        run.fit(past, day)
    with pytest.raises(PlanBroken, match="told from facts known before 2025-07-01"):
        run.fit(known_at_origin(workspace, workspace.warehouse), day, past)
