"""A published release without a model: made-up scores, a scorer that only knows its card, a clock that stands still."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from features.catalogue import Definitions
from serving import release
from serving.api import Surface, create_app
from serving.batch import ScoreParams, _counts, rank
from serving.keys import create_key
from serving.limits import Limits
from serving.settings import Settings

AS_OF = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HORIZONS = (90, 180, 270, 360)
HOSTILE = "<script>alert(1)</script>&\"'"
FORMULA = '=HYPERLINK("http://evil","x")'
TIERS = ("trial", "starter", "team", "business")
DEFINITIONS = Definitions.from_params({})


def card(method: str = "model") -> dict[str, Any]:
    return {
        "method": method,
        "horizons": list(HORIZONS),
        "default_horizon": 180,
        "currency": "USD",
        "tiers": [{"name": name, "floor": 10.0 * n} for n, name in enumerate(TIERS)],
        "trained_as_of": "2026-01-01",
        "grade": "good",
        "headline": "made up",
    }


def load_fake(bundle: Path) -> Any:
    said = json.loads((bundle / "card.json").read_text(encoding="utf-8"))
    return SimpleNamespace(card=said["card"], bundle_id=said["bundle_id"], definitions=DEFINITIONS)


def make_bundle(folder: Path, method: str = "model", letter: str = "a") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps({"card": card(method), "bundle_id": letter * 64}), encoding="utf-8")
    return folder


def make_scores(n: int = 120, as_of: date = AS_OF, seed: int = 1, method: str = "model") -> pa.Table:
    """Scores as a Scorer gives them: the first two accounts carry hostile names, the last is at the top tier."""
    draw = np.random.default_rng(seed)
    ids = [HOSTILE, FORMULA, *(f"acct-{number:05d}" for number in range(n - 2))]
    top = np.arange(n) == n - 1
    chance = np.clip(draw.beta(1, 9, n), 0.001, 0.9)
    reasons = [
        {"text": "more active users in the last 28 days: 11 users (its peers: 4)", "feature": "users_28d",
         "family": "users", "direction": "up", "value": 11.0, "peer": 4.0, "share": 0.4},
        {"text": "more specialist functions used lately: 3 functions (its peers: 0)",
         "feature": "specialist_breadth_28d", "family": "breadth", "direction": "up", "value": 3.0, "peer": 0.0,
         "share": 0.3},
        {"text": "longer since the last invoice: 60 days (its peers: 12)", "feature": "days_since_last_invoice",
         "family": "recency", "direction": "down", "value": 60.0, "peer": 12.0, "share": 0.1},
    ]  # fmt: skip
    tier = np.where(top, len(TIERS) - 1, draw.integers(0, len(TIERS) - 1, n))
    rule = method == "rule"
    columns: dict[str, Any] = {
        "account_id": ids,
        "as_of": pa.array([as_of] * n, pa.date32()),
        "method": [method] * n,
        "tier": [TIERS[t] for t in tier],
        "next_tier": pa.array([TIERS[t + 1] if t + 1 < len(TIERS) else None for t in tier], pa.string()),
        "run_rate": np.round(draw.gamma(1, 40, n), 2),
        "stage": [("trial", "commitment", "uptake")[i % 3] for i in range(n)],
        "tenure_days": pa.array(draw.integers(1, 600, n), pa.int32()),
        "confidence": ["low" if i % 10 == 3 else "ok" for i in range(n)],
        "score": np.where(top, 0.0, chance * 900),
        "amount_low": pa.array(chance * 200, mask=top | rule),
        "amount_high": pa.array(chance * 4000, mask=top | rule),
    }
    for position, h in enumerate(HORIZONS):
        longer = (position + 1) / 2  # of 180 days, the default horizon
        columns[f"amount_low_{h}"] = pa.array(chance * 200 * longer, mask=top | rule)
        columns[f"amount_high_{h}"] = pa.array(chance * 4000 * longer, mask=top | rule)
        grown = 1 - (1 - chance) ** ((position + 1) / 2)
        columns[f"probability_{h}"] = pa.array(grown, mask=top | rule)
        columns[f"high_value_{h}"] = pa.array(grown / 5, mask=top | rule)
        columns[f"churn_{h}"] = pa.array(grown / 3, mask=np.full(n, rule))
        columns[f"increment_{h}"] = pa.array(grown * 900, mask=top | rule)
    columns |= {
        "days_since_last_event": np.ones(n),
        "days_since_last_invoice": pa.nulls(n, pa.float64()),
        "users_28d": np.where(np.arange(n) % 3 == 2, 9.0, 1.0),
        "specialist_life": np.where(np.arange(n) % 3 == 0, 0.0, 4.0),
        "configuration_life": np.zeros(n),
    }
    columns["reasons"] = [json.dumps(reasons)] * n
    return pa.table(columns)


Contacts = dict[str, tuple[date, str]]  # account: the day and the kind of its last contact
NOBODY: Contacts = {}


def ranked(scores: pa.Table, owner: str = "ana", contacts: Contacts | None = NOBODY) -> pa.Table:
    """contacts null: as earlier versions wrote releases, which tell of no contact."""
    n = scores.num_rows
    told = [(contacts or {}).get(account, (None, None)) for account in scores["account_id"].to_pylist()]
    last = {"last_contact": pa.array([day for day, _ in told], pa.date32()),
            "last_contact_kind": pa.array([kind for _, kind in told], pa.string())}  # fmt: skip
    about = pa.table(
        {
            **(last if contacts is not None else {}),
            "owner": [(owner, "bo", None)[i % 3] for i in range(n)],
            "channel": [("web", "partner")[i % 2] for i in range(n)],
            "country": [("DE", "GB", "US")[i % 3] for i in range(n)],
            "industry": [HOSTILE if i == 0 else "retail" for i in range(n)],
        }
    )
    params = ScoreParams()
    model = scores["method"][0].as_py() == "model"
    return rank(scores, about, params.bands if model else params.rule_bands, 180)


def publish(
    workspace: Path,
    as_of: date = AS_OF,
    seed: int = 1,
    method: str = "model",
    force: bool = False,
    owner: str = "ana",
    contacts: Contacts | None = NOBODY,
    n: int = 120,
    **told: Any,
) -> Path:
    """A release of made-up scores, made current; `told` stands in its run.json, too."""
    table = ranked(make_scores(n=n, as_of=as_of, seed=seed, method=method), owner, contacts)
    params = ScoreParams()
    run = {
        "as_of": as_of.isoformat(),
        "bundle_id": "a" * 64,
        "method": method,
        "accounts": table.num_rows,
        "bands": _counts(table, "band"),
        "band_floors": params.bands if method == "model" else params.rule_bands,
        "capacity": params.capacity,
        **told,
    }
    bundle = make_bundle(workspace / "artifacts" / "candidate", method)
    return release.write(workspace / "releases", table, bundle, run, force)


class Client:
    """Calls an ASGI app without a socket, as a browser with cookies would."""

    def __init__(self, app: Any, base_url: str = "http://127.0.0.1:3000", address: str = "127.0.0.1") -> None:
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=(address, 50_000))
        self._base_url = base_url
        self.cookies = httpx.Cookies()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url=self._base_url, cookies=self.cookies
            ) as client:
                answer = await client.request(method, path, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(call())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@dataclass
class Service:
    """The app over a workspace, a client for it, and one key of each kind."""

    workspace: Path
    surface: Surface
    client: Client
    reader: str
    scorer: str

    def get(self, path: str, key: str | None = None, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.reader if key is None else key}", **more.pop("headers", {})}
        return self.client.get(path, headers=headers, **more)

    def refresh(self) -> None:
        self.surface.desk.watcher.refresh()


def open_service(
    workspace: Path, clock: datetime = NOW, monotonic: Callable[[], float] = time.monotonic, **settings: Any
) -> Service:
    _, reader = create_key(workspace / "keys.json", "reader", ("read",), clock)
    _, scorer = create_key(workspace / "keys.json", "scorer", ("score",), clock)
    chosen = Settings(workspace=workspace, reload_seconds=0, **settings)
    surface = create_app(chosen, now=lambda: clock, limits=Limits(chosen.requests_per_minute, monotonic))
    return Service(workspace, surface, Client(surface.guarded), reader, scorer)
