"""Asking a service over and over: a round of requests over kept connections, and what two services' rounds come to.

The client is sockets and nothing more, so that what it costs to ask hides as little as possible of what it costs to
answer. It shares the machine with the service.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np

HOST = "127.0.0.1"
WARM_SECONDS = 1.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Service:
    """Where it listens, its first process, and the seconds until it was ready."""

    port: int
    process: int
    ready: float


@dataclass(frozen=True)
class Round:
    """`waits`: seconds from sending each request to the last byte of its answer. `spent`: processor seconds of the
    service, whatever else the machine did meanwhile. `busy`: what share of one processor the client took."""

    seconds: float
    waits: np.ndarray
    spent: float
    busy: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waits) / self.seconds


def request(method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    told = {"host": HOST, **(headers or {})}
    if body:
        told |= {"content-type": "application/json", "content-length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> bytes:
    """The body of the answer.

    Raises:
        RuntimeError: its status is not 200, or it does not tell its length.
    """
    writer.write(sent)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    place = head.find(b"\r\ncontent-length:")
    if not head.startswith(b"http/1.1 200") or place < 0:
        raise RuntimeError(f"{sent[:80].decode(errors='replace')!r} was answered {head[:200].decode()!r}")
    return await reader.readexactly(int(head[place + 17 : head.index(b"\r\n", place + 2)]))


async def hold(service: Service, requests: Sequence[bytes], concurrency: int, seconds: float) -> Round:
    """So many connections ask for so long, each as soon as it has its answer; the requests in turn."""
    turn = count()
    waits: list[float] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection(HOST, service.port, limit=1 << 22)
        try:
            while (began := time.perf_counter()) < until:
                await ask(reader, writer, requests[next(turn) % len(requests)])
                waits.append(time.perf_counter() - began)
        finally:
            writer.close()

    started, own, theirs = time.perf_counter(), time.process_time(), spent(service.process)
    until = started + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(one())
    took = time.perf_counter() - started
    return Round(took, np.array(waits), spent(service.process) - theirs, (time.process_time() - own) / took)


def spent(process: int) -> float:
    """Processor seconds of a process and all below it, so far."""
    told = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    below = [int(child) for task in tasks for child in task.read_text(encoding="ascii").split()]
    return (int(told[11]) + int(told[12])) / TICKS + sum(map(spent, below))


def once(port: int, sent: bytes) -> Any:
    """The JSON of one answer."""

    async def one() -> bytes:
        reader, writer = await asyncio.open_connection(HOST, port, limit=1 << 22)
        try:
            return await ask(reader, writer, sent)
        finally:
            writer.close()

    return json.loads(asyncio.run(one()))


def in_turn(
    services: tuple[Service, Service],
    requests: tuple[Sequence[bytes], Sequence[bytes]],
    concurrency: int,
    rounds: int,
    each: float,
) -> tuple[list[Round], list[Round]]:
    """Rounds of two services, A-B-A-B, so that a noisy neighbour meets both; each is warmed up first."""
    held: tuple[list[Round], list[Round]] = ([], [])
    for service, asked in zip(services, requests, strict=True):
        asyncio.run(hold(service, asked, concurrency, min(each, WARM_SECONDS)))
    for _ in range(rounds):
        for service, asked, told in zip(services, requests, held, strict=True):
            told.append(asyncio.run(hold(service, asked, concurrency, each)))
    return held


def beside(ours: Sequence[Round], floor: Sequence[Round]) -> dict[str, Any]:
    """Medians over the rounds; `ratio` of each of our rounds to the floor's that came right after it, with the lowest
    and the highest. Percentiles are of all requests of all rounds, in milliseconds."""
    ratios = [one.rate / other.rate for one, other in zip(ours, floor, strict=True)]
    found: dict[str, Any] = {
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "ratio_highest": round(max(ratios), 3),
    }
    for name, rounds in (("ours", ours), ("floor", floor)):
        p50, p99 = np.percentile(np.concatenate([one.waits for one in rounds]), [50, 99]) * 1000
        found[name] = {
            "rate": round(statistics.median(one.rate for one in rounds), 1),
            "p50_ms": round(p50, 2),
            "p99_ms": round(p99, 2),
            "p99_over_p50": round(p99 / p50, 2),
            "processor_ms": round(1000 * sum(one.spent for one in rounds) / sum(len(one.waits) for one in rounds), 3),
            "requests": sum(len(one.waits) for one in rounds),
            "client_busy": round(statistics.median(one.busy for one in rounds), 2),
        }
    return found


def ready(port: int, seconds: float = 60.0) -> float:
    """Seconds until /readyz answers 200.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    started = time.perf_counter()
    while (waited := time.perf_counter() - started) < seconds:
        try:
            with urlopen(f"http://{HOST}:{port}/readyz", timeout=5):
                return time.perf_counter() - started
        except OSError:  # not listening yet, or 503
            time.sleep(0.02)
    raise TimeoutError(f"port {port}: not ready after {waited:.0f} s")
