"""A small vendor with a real model, whose accounts do more the higher their number: who is asked what-if."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from features.catalogue import Definitions, FeatureParams, fingerprint
from features.revenue import Tiers
from models.scorer import Scorer
from serving import release
from serving.batch import ScoreParams, score
from tests.models.made_features import LABELS, QUICK, dataset, fit_scorer
from tests.serving.nightly import warehouse_of
from warehouse.store import Workspace

AS_OF = date(2025, 7, 1)
CREATED, SIGNED_UP = datetime(2025, 3, 3, 8), "2025-06-29 15:00:00"
ACCOUNTS = 30
READ = datetime(2025, 7, 4, tzinfo=UTC)  # when the files were, some days after what is scored
SPECIALIST, CONFIGURATION = ("report_built", "api_called", "automation_run"), ("setting_changed", "role_assigned")
MEANT = Definitions(Tiers(), FeatureParams(specialist=SPECIALIST, configuration=CONFIGURATION))
BUSY, SLEEPER, MACHINE, TOP, LATE, YOUNG = "a029", "sleeper", "machine", "top", "late", "young"


@cache
def fitted() -> Scorer:
    card = {"trained_as_of": "2025-06-01", "data_fingerprint": "d" * 64, "seed": 0}
    return fit_scorer(dataset(1_200), MEANT, LABELS, QUICK, 0, card)


def bundle_of(folder: Path, definitions: Definitions) -> Path:
    card = fitted().card | {"fingerprint": fingerprint(definitions)}
    replace(fitted(), definitions=definitions, card=card).save(folder)
    return folder


def histories() -> list[dict[str, Any]]:
    """Account n has 1 + n // 3 users in the last 28 days, n specialist uses and n // 5 configuration steps. Beside them
    one that sleeps, one that machines use, one at the top tier, one with facts that came late or lie after as_of, one
    of two days that nobody has used yet, and one whose id ends like the route."""
    sent = [account(f"a{n:03d}", 1 + n // 3, n, n // 5) for n in range(ACCOUNTS)]
    sent += [account(SLEEPER, 0, 0, 0), account(TOP, 2, 1, 1), account(LATE, 1, 0, 0), account("a005/what-if", 1, 0, 0)]
    machine = account(MACHINE, 1, 0, 0)
    sent.append({**machine, "events": [{**event, "user_id": None} for event in machine["events"]], "account_users": []})
    young = account(YOUNG, 0, 0, 0)
    sent.append({**young, "account": {**young["account"], "created_at": SIGNED_UP}, "events": [], "account_users": []})
    sent[ACCOUNTS + 1]["revenue"] = [revenue("r-top", 9_000, "2025-06-20")]
    late = sent[ACCOUNTS + 2]["events"]
    late += [event("early", "opened", f"2025-06-2{day}", "2025-07-03") for day in range(8)]
    late += [event("after", "opened", f"2025-07-0{day}") for day in range(1, 4)]
    return sent


def account(name: str, users: int, specialist: int, configuration: int) -> dict[str, Any]:
    """Every user opens the product on each third day from 60 days before as_of, user k from k days later on; an account
    without users did so from 90 to 61 days before."""
    names = [f"{name}-u{k}" for k in range(max(users, 1))]
    start, days = (61, 60) if users else (90, 30)
    events = [
        event(user, "opened" if d % 2 else "viewed", AS_OF - timedelta(days=start - 1 - d))
        for k, user in enumerate(names)
        for d in range(k, days, 3)
    ]
    kinds = [(SPECIALIST[0], specialist), (CONFIGURATION[0], configuration)]
    for what, count in kinds:
        events += [event(names[0], what, AS_OF - timedelta(days=2 + 3 * (n % 8))) for n in range(count)]
    stays = [{"user_id": user, "valid_from": f"{AS_OF - timedelta(days=70)} 09:00:00"} for user in names]
    about = {"account_id": name, "created_at": CREATED.isoformat(sep=" "), "owner": "ana", "channel": "web",
             "country": "GB", "industry": "retail", "employees": 20}  # fmt: skip
    return {"account": about, "events": events, "revenue": [], "account_users": stays}


def event(user: str, what: str, day: date | str, received: str | None = None) -> dict[str, Any]:
    event.number = getattr(event, "number", 0) + 1  # type: ignore[attr-defined]
    return {
        "event_id": f"e{event.number}",  # type: ignore[attr-defined]
        "user_id": user,
        "event_name": what,
        "occurred_at": f"{day} 10:00:00",
        "received_at": f"{received or day} 10:00:05",
        "quantity": 2,
    }


def revenue(number: str, amount: float, day: str) -> dict[str, Any]:
    return {"revenue_id": number, "amount": amount, "currency": "USD", "booked_at": f"{day} 09:00:00"}


def published(workspace: Path, definitions: Definitions = MEANT) -> Workspace:
    """The vendor in a warehouse, and a release of its accounts as of AS_OF."""
    sent = histories()
    sent[0]["revenue"] = [revenue("r-0", 5, "2025-06-01")]  # the file's header comes from the first account
    vendor = warehouse_of(workspace, sent, READ)
    score(vendor, bundle_of(workspace / "bundle", definitions), AS_OF, {}, ScoreParams())
    return vendor


def live(vendor: Workspace) -> release.Release:
    return release.open_current(vendor.releases)
