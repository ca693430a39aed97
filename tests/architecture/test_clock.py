"""The wall clock is read at the edge and handed in: deep inside, `now` and `as_of` are arguments.

Edges: the command line, a stage's `main` (the same edge, run by DVC) and the service process, which hands a clock to
its app. Measuring how long something takes is no edge, but belongs to few; the line of a log says when it was written,
and nothing else of a run does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import dotted, modules

WALL = re.compile(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns|localtime|gmtime|ctime))$")
STOPWATCH = re.compile(r"(^|\.)(time\.(monotonic|perf_counter|process_time)(_ns)?)$")
IN_SQL = re.compile(r"\b(current_date|current_timestamp|localtimestamp|now\(\)|today\(\))", re.IGNORECASE)
EDGES = {"expansion.py", "serving/service.py"}
LINES_OF_THE_LOG = {("warehouse/progress.py", "_line")}
STOPWATCHES = {
    "warehouse/progress.py",
    "serving/guard.py",
    "serving/limits.py",
    "serving/watcher.py",
    "serving/keys.py",
}


def _readings(tree: ast.Module, clock: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    """(enclosing top-level function, line) of every mention of the clock, called or passed on."""
    for top in tree.body:
        name = top.name if isinstance(top, ast.FunctionDef) else ""
        for node in ast.walk(top):
            if isinstance(node, ast.Attribute) and clock.search(dotted(node)):
                yield name, node.lineno
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                yield name, node.lineno


def test_the_wall_clock_is_read_only_at_the_edge() -> None:
    inside = [
        f"{path}:{line}"
        for path, tree in modules().items()
        if path not in EDGES
        for function, line in _readings(tree, WALL)
        if function != "main" and (path, function) not in LINES_OF_THE_LOG
    ]
    assert not inside


def test_stopwatches_are_few() -> None:
    held = {path for path, tree in modules().items() if list(_readings(tree, STOPWATCH))}
    assert held - {"expansion.py"} <= STOPWATCHES


def test_no_query_asks_the_database_for_the_time() -> None:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = IN_SQL.search(node.value)
                assert not found, f"{path}:{node.lineno} says {found.group() if found else ''}"


@pytest.mark.parametrize(
    "text", ["import time\nx = time.time()", "import datetime\ndatetime.date.today()", "f(now=datetime.now)"]
)
def test_the_search_for_clocks_finds_them(text: str) -> None:
    assert list(_readings(ast.parse(text), WALL))


def test_chance_is_seeded() -> None:
    """No generator without a seed, and nothing of the global ones."""
    for path, tree in modules().items():
        if path.startswith("serving/"):
            continue  # keys are secrets
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = dotted(node.func)
                assert not called.startswith("random."), f"{path}:{node.lineno}"
                if called.endswith("default_rng"):
                    assert node.args, f"{path}:{node.lineno} draws without a seed"
                elif ".random." in called:
                    assert called.rsplit(".", 1)[1][0].isupper(), f"{path}:{node.lineno} uses numpy's global generator"
