"""How many answers a second the service gives, beside a bare Starlette app that does the same work, in one run.

`python -m benchmarks.answers [--workspace DIR] [--accounts N] [--rounds N] [--seconds S] [--page] [--json FILE]`

ours     `expansion serve` as it is run: one worker, behind its keys, limits, counts, tags and headers; the rate limit
         is raised so that it counts and never refuses
floor    benchmarks/bare.py: the same functions and the same answers without any of that, by the same server
asked    GET /v1/accounts/{id} of 500 accounts in turn; GET /v1/leads?limit=100, the first page; POST /v1/score with the
         whole raw history of one account, of eight in turn with about the median number of events
took     processor time an answer of the service's processes, which hangs least on what else the machine does
rounds   at concurrency 1, 16 and 50, ours and the floor by turns, over kept connections from the same machine
ready    seconds from `expansion serve` to its first 200 of /readyz, bytecode compiled, median of three starts; before
         them one start tells, by Python's own record of imports, what its processes load

Without --workspace a vendor is simulated, trained and published first; its training leaves the machine warm, so take a
workspace that is there already for figures to keep. --page puts the table into docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.results_bars import table
from benchmarks.vendor import ROOT, hand_out, published
from features.build import HISTORY
from serving.keys import create_key
from serving.release import open_current
from warehouse.engine import connect
from warehouse.store import Workspace, open_warehouse

CONCURRENCY = (1, 16, 50)
BAR_AT, BAR_RATIO, BAR_TAIL, BAR_READY = 16, 0.75, 5.0, 10.0
STARTS = 3
LOOKED_UP, SCORED = 500, 8  # accounts asked for in turn
UNLIMITED = 100_000_000  # requests a minute
TRAINING_TOOLS = frozenset({"mlflow", "dvc", "optuna", "sklearn", "matplotlib", "pandas"})
IMPORTED = re.compile(r"import time:.*\| +(\w+)")
NO_MLFLOW = (
    "`mlflow models serve` is not measured: the registry keeps the bundle's own files, which are no MLflow model, so "
    "there is nothing that it could start."
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((load.HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, log: Path, **more: str) -> Iterator[load.Service]:
    """A server of its own in the background, which is ready."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= {"OMP_WAIT_POLICY": "PASSIVE", "EXPANSION_REQUESTS_PER_MINUTE": str(UNLIMITED), **more}
    with log.open("wb") as told:
        server = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=env, stdout=told, stderr=told)
        try:
            yield load.Service(port, server.pid, load.ready(port))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def ours(workspace: Workspace, port: int) -> list[str]:
    return ["-m", "expansion", "serve", "--workspace", str(workspace.root), "--port", str(port)]


def bare(workspace: Workspace, port: int) -> list[str]:
    return ["-m", "benchmarks.bare", "--workspace", str(workspace.root), "--port", str(port)]


def questions(workspace: Workspace, headers: dict[str, str]) -> dict[str, list[bytes]]:
    """By endpoint the requests that are sent in turn."""
    release = open_current(workspace.releases)
    with connect(workspace.warehouse) as con:
        open_warehouse(con, workspace.warehouse)
        ids = [row[0] for row in release.database.execute("SELECT account_id FROM scores ORDER BY rank")]
        rows = con.execute("SELECT account_id, count(*) FROM events GROUP BY 1 ORDER BY 2, 1").fetchall()
        known = set(ids)
        used = [account_id for account_id, _ in rows if account_id in known]
        middle = used[len(used) // 2 :][:SCORED]
        bodies = [json.dumps({"accounts": [history(con, account_id)]}).encode() for account_id in middle]
    step = max(1, len(ids) // LOOKED_UP)
    return {
        "GET /v1/accounts/{id}": [load.request("GET", f"/v1/accounts/{one}", headers) for one in ids[::step]],
        "GET /v1/leads?limit=100": [load.request("GET", "/v1/leads?limit=100", headers)],
        "POST /v1/score": [load.request("POST", "/v1/score", headers, body) for body in bodies],
    }


def history(con: Any, account_id: str) -> dict[str, Any]:
    """The account as POST /v1/score takes it."""

    def rows(name: str) -> list[dict[str, Any]]:
        found = con.sql(f"SELECT * FROM {name} WHERE account_id = $a", params={"a": account_id}).to_arrow_table()
        return [{key: said(value) for key, value in row.items() if value is not None} for row in found.to_pylist()]

    return {"account": rows("accounts")[0], **{name: rows(name) for name in HISTORY}}


def said(value: Any) -> Any:
    """A cell of a typed table as JSON."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return value if isinstance(value, str | bool | int) else float(value)


def loaded(log: str) -> set[str]:
    """Which tools of training were imported, by a log of PYTHONPROFILEIMPORTTIME."""
    names = set(IMPORTED.findall(log))
    if "serving" not in names:
        raise ValueError("the log tells no imports of the service.")
    return names & TRAINING_TOOLS


def measure(workspace: Workspace, rounds: int, seconds: float) -> dict[str, Any]:
    """Raises RuntimeError where the two do not answer the same."""
    now = datetime.now(UTC)
    _, key = create_key(workspace.root / "keys.json", "benchmark", ("read", "score"), now, days=1)
    headers = {"authorization": f"Bearer {key}"}
    asked = questions(workspace, headers)
    plain = questions(workspace, {})
    release = open_current(workspace.releases)
    found: dict[str, Any] = {
        "conditions": conditions(),
        "accounts": release.run["accounts"],
        "trees": sum(booster.num_trees() for booster in release.scorer.boosters.values()),
        "rounds": rounds,
        "seconds_a_round": seconds,
        "endpoints": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder)
        port, other = free_port(), free_port()
        with running(ours(workspace, port), port, log / "imports", PYTHONPROFILEIMPORTTIME="1"):
            for requests in asked.values():
                load.once(port, requests[0])
        found["training_tools_loaded"] = sorted(loaded((log / "imports").read_text(errors="replace")))
        starts = []
        for _ in range(STARTS):
            with running(ours(workspace, port), port, log / "ours") as started:
                starts.append(round(started.ready, 2))
        found["ready_s"] = {"median": statistics.median(starts), "starts": starts}
        with (
            running(ours(workspace, port), port, log / "ours") as mine,
            running(bare(workspace, other), other, log / "bare") as floor,
        ):
            for endpoint, requests in asked.items():
                refuse_other(endpoint, load.once(port, requests[0]), load.once(other, plain[endpoint][0]))
                found["endpoints"][endpoint] = {"bytes": len(requests[0])}
                for concurrency in CONCURRENCY:
                    both = requests, plain[endpoint]
                    told = load.beside(*load.in_turn((mine, floor), both, concurrency, rounds, seconds))
                    found["endpoints"][endpoint][str(concurrency)] = told
                    print(endpoint, concurrency, json.dumps(told), file=sys.stderr, flush=True)
    found["conditions"]["load_after"] = round(os.getloadavg()[0], 2)
    return found


def conditions() -> dict[str, Any]:
    """What the machine was like before anything was asked."""
    installed = [name for name in ("uvloop", "httptools") if _there(name)]
    return {"load_before": round(os.getloadavg()[0], 2), "cores": os.cpu_count(), "speedups": installed}


def _there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def refuse_other(endpoint: str, one: Any, other: Any) -> None:
    """Raises RuntimeError if two answers are not the same: then they are not the same work."""
    if one != other:
        raise RuntimeError(f"{endpoint}: the service and its floor answer differently.")


def bars(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each bar asks for and each cell that misses it."""
    cells = [
        (endpoint, int(at), cell)
        for endpoint, by in found["endpoints"].items()
        for at, cell in by.items()
        if at.isdigit()
    ]
    slow = [f"{e} ({c['ratio']:.3g})" for e, at, c in cells if at == BAR_AT and c["ratio"] < BAR_RATIO]
    tails = [
        f"{e} at {at} ({c['ours']['p99_over_p50']:.1f}, the floor's own {c['floor']['p99_over_p50']:.1f})"
        for e, at, c in cells
        if c["ours"]["p99_over_p50"] >= BAR_TAIL
    ]
    start, tools = found["ready_s"]["median"], found["training_tools_loaded"]
    return {
        f"at least {BAR_RATIO} of the floor at concurrency {BAR_AT}": {"missed": slow},
        f"p99 under {BAR_TAIL:.0f} times p50": {"missed": tails},
        f"ready within {BAR_READY:.0f} s": {"missed": [] if start < BAR_READY else [f"{start:.1f} s"]},
        "no MLflow in the service": {"missed": [tool for tool in tools if tool == "mlflow"]},
    }


def block(found: dict[str, Any]) -> str:
    """The section of docs/scale.md: a table, and which bars are reached, in words that follow from the figures."""
    head = [
        "",
        "at once",
        "answers a second",
        "bare Starlette",
        "of it (lowest, highest)",
        "p50, p99 in ms",
        "processor, ms",
    ]
    rows = []
    for endpoint, by in found["endpoints"].items():
        for at in map(str, CONCURRENCY):
            cell = by[at]
            mine, floor = cell["ours"], cell["floor"]
            share = f"{cell['ratio']:.2f} ({cell['ratio_lowest']:.2f}, {cell['ratio_highest']:.2f})"
            rows.append([
                f"`{endpoint}`" if at == str(CONCURRENCY[0]) else "", at, _rate(mine),
                _rate(floor), f"**{share}**" if at == str(BAR_AT) else share,
                f"{mine['p50_ms']:,.1f}, {mine['p99_ms']:,.1f}",
                f"{mine['processor_ms']:.3g} to {floor['processor_ms']:.3g}",
            ])  # fmt: skip
    told, about = bars(found), found["conditions"]
    reached = [name for name, bar in told.items() if not bar["missed"]]
    missed = [f"{name}, missed by {'; '.join(bar['missed'])}" for name, bar in told.items() if bar["missed"]]
    with_what = " and ".join(about["speedups"]) or "neither uvloop nor httptools, which are not among our packages"
    words = (
        f"*{found['accounts']:,} accounts, a model of {found['trees']:,} trees; {found['rounds']} rounds of "
        f"{found['seconds_a_round']:g} s each way by turns, medians; {about['cores']} cores, which the client shares; "
        f"load {about['load_before']:.1f} before the start, {about['load_after']:.1f} after the end; "
        f"both under {with_what}.* "
        f"From `expansion serve` to ready: {found['ready_s']['median']:.1f} s, and the processes load "
        f"{', '.join(found['training_tools_loaded']) or 'no tool of training, MLflow included'}. "
        f"Bars reached: {'; '.join(reached) or 'none'}. Not reached: {'; '.join(missed) or 'none'}. {NO_MLFLOW}"
    )
    filled = textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False)
    return f"{table(head, rows)}\n\n{filled}\n"


def _rate(told: dict[str, Any]) -> str:
    return f"{told['rate']:,.{0 if told['rate'] >= 10 else 1}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, help="with a live release; absent: a vendor is made for the run")
    parser.add_argument("--accounts", type=int, default=12_000, help="of the vendor that is made")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", action="store_true", help="put the table into docs/scale.md")
    options = parser.parse_args()
    with published(options.workspace, options.accounts) as workspace:
        found = measure(workspace, options.rounds, options.seconds)
    hand_out(found, block(found), "http", options.json, options.page)


if __name__ == "__main__":
    main()
