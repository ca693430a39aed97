"""The client, the ratios and the page of the benchmarks of the service and of the night, on stubs: nothing is timed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import answers, load, night
from benchmarks.bare import bare_app
from benchmarks.pages import into_page
from serving import release
from tests.serving.published import NOW, Client, load_fake, open_service, publish

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nContent-Type: application/json\r\n\r\n{"a": true}'


async def beside_stub(answer: bytes, work: Callable[[load.Service], Awaitable[Any]]) -> Any:
    """What `work` gives beside a server that gives everybody the same answer."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            while (await reader.readline()).strip():
                pass
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(served, load.HOST, 0) as server:
        return await work(load.Service(server.sockets[0].getsockname()[1], os.getpid(), 0.0))


def test_a_round_counts_every_answer() -> None:
    asked = [load.request("GET", "/a"), load.request("GET", "/b", {"authorization": "Bearer x"})]
    found = asyncio.run(beside_stub(OK, lambda service: load.hold(service, asked, 3, 0.05)))
    assert len(found.waits) >= 3
    assert found.rate == pytest.approx(len(found.waits) / found.seconds)
    assert (found.waits > 0).all()
    assert found.spent >= 0


@pytest.mark.parametrize(
    "answer", [OK.replace(b"200 OK", b"429 Too Many Requests"), OK.replace(b"Content-Length", b"X")]
)
def test_an_answer_that_is_none_ends_the_round(answer: bytes) -> None:
    with pytest.raises(ExceptionGroup) as broken:
        asyncio.run(beside_stub(answer, lambda service: load.hold(service, [load.request("GET", "/a")], 1, 0.05)))
    assert broken.group_contains(RuntimeError, match="was answered")


def rounds(*rates: int, wait: float = 0.01) -> list[load.Round]:
    return [load.Round(1.0, np.full(rate, wait), rate * 0.002, 0.3) for rate in rates]


def test_ratios_are_of_rounds_that_follow_each_other() -> None:
    told = load.beside(rounds(80, 30, 90), rounds(100, 40, 100, wait=0.02))
    assert (told["ratio"], told["ratio_lowest"], told["ratio_highest"]) == (0.8, 0.75, 0.9)
    assert told["ours"] == {"rate": 80, "p50_ms": 10, "p99_ms": 10, "p99_over_p50": 1, "processor_ms": 2.0,
                            "requests": 200, "client_busy": 0.3}  # fmt: skip
    assert told["floor"]["p50_ms"] == 20


def document(ratio: float, tail: float, ready: float, tools: list[str]) -> dict[str, Any]:
    cell = load.beside(rounds(100), rounds(200)) | {"ratio": ratio}
    cell["ours"] = cell["ours"] | {"p99_over_p50": tail}
    return {
        "conditions": {"load_before": 0.2, "load_after": 0.9, "cores": 2, "speedups": []},
        "accounts": 10_000,
        "trees": 900,
        "rounds": 3,
        "seconds_a_round": 2.0,
        "endpoints": {"GET /v1/leads": {"bytes": 10, **{str(at): cell for at in answers.CONCURRENCY}}},
        "training_tools_loaded": tools,
        "ready_s": {"median": ready, "starts": [ready]},
    }


def test_the_page_says_which_bars_are_reached_and_which_are_not() -> None:
    good, bad = (" ".join(answers.block(one).split()) for one in (document(0.75, 4.9, 9.9, []),
                                                                  document(0.749, 5.0, 10.0, ["mlflow"])))  # fmt: skip
    assert "Not reached: none." in good
    assert "no tool of training, MLflow included" in good
    assert "Bars reached: none. Not reached: at least 0.75" in bad
    assert "missed by GET /v1/leads (0.749)" in bad
    assert "missed by GET /v1/leads at 1 (5.0, the floor's own 1.0)" in bad
    assert "missed by mlflow" in bad


def test_a_log_of_imports_tells_the_tools_of_training() -> None:
    line = "import time:       120 |        340 |   {}\n"
    assert answers.loaded("".join(map(line.format, ("serving.api", "numpy", "mlflow.entities")))) == {"mlflow"}
    with pytest.raises(ValueError, match="no imports of the service"):
        answers.loaded("nothing at all")


def test_the_floor_gives_the_answers_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "load_scorer", load_fake)
    publish(tmp_path)
    service = open_service(tmp_path)
    bare = Client(bare_app(release.open_current(tmp_path / "releases"), lambda: NOW))
    for path in ("/v1/leads?limit=100", "/v1/accounts/acct-00007"):
        assert bare.get(path).json() == service.get(path).json()
    assert bare.get("/v1/accounts/nobody").status_code == 404


def test_the_night_says_which_bars_are_reached_and_which_are_not() -> None:
    found: dict[str, Any] = {
        "conditions": {"load_before": 0.2, "load_after": 0.9, "cores": 2},
        "accounts": 100_000,
        "features": 149,
        "boosters": {"expansion.0": 200, "churn.0": 100},
        "seconds": {"floor": 10.0, "scores": 12.0, "rank": 1.0, "write": 3.0},
        "ratio": [1.3, 1.2, 1.4],
        "ratio_processor": 1.15,
        "ratio_written": [1.6, 1.5, 1.7],
        "reasons": {"explain_s": 590.0, "tell_s": 11.0, "peak_mib": 4095},
    }
    said = " ".join(night.block(found).split())
    assert "2 boosters, 300 trees, 149 features" in said
    assert "reached: scores within 1.5 times the floor; peak memory under 4 GiB. Not reached: reasons" in said


def test_a_block_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- http -->\nold\n<!-- /http -->\nafter\n")
    into_page(page, "http", "new\n")
    assert page.read_text() == "before\n<!-- http -->\nnew\n<!-- /http -->\nafter\n"
    with pytest.raises(ValueError, match="needs one"):
        into_page(page, "night", "new")
