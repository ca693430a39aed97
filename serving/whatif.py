"""What the model would say of an account had it done in the last 28 days what a quarter of its peers do or exceed.

No feature is moved: facts are bent (serving/whatif_facts.py), and the one feature path makes of them whatever follows,
in every window, share and rate at once. What the vendor's accounts together tell stays as it is. Three actions are on
the list, and no other is ever named. It says how the model weighs such a history, not what becomes of the account. See
docs/adr/0046.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.build import HISTORY, build_features
from serving.errors import HistoryMoved
from serving.leads import horizon_of
from serving.release import Release
from serving.schemas import ActionName
from serving.settings import REQUEST_MEMORY
from serving.upper_quarter import Band, tonight
from serving.whatif_facts import Bent, Facts, done_more, facts_of, invited, names_of, unbent
from warehouse.engine import connect

LABEL = (
    "a model what-if: what the model would say of an account with this history, not a promise that doing it makes the "
    "account grow"
)
LEAST = 20  # peers of whom a quarter says something
SAME = 1e-9  # of a probability, or relative of money: scores made on a cluster differ in the last bits
SHOWN = 0.0005  # of a probability; a smaller gain reads as none
RULE, TOP, NOT_KEPT = "rule", "top_tier", "not_kept"
NOW = "now"


class Action(NamedTuple):
    """feature: what is raised. title, and one and many, what it counts: for people. kind: of the events that are added;
    of users null. breadth: the feature that says how many different of them there are."""

    name: ActionName
    title: str
    feature: str
    one: str
    many: str
    kind: str | None = None
    breadth: str | None = None


ACTIONS = (
    Action("invite_users", "Invite users", "users_28d", "active user", "active users"),
    Action(
        "switch_on_specialist", "Switch on specialist functions", "specialist_28d", "use of specialist functions",
        "uses of specialist functions", "specialist", "specialist_breadth_28d",
    ),
    Action(
        "finish_setup", "Finish setup", "configuration_28d", "configuration step", "configuration steps",
        "configuration",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Account:
    """facts: its own. values: of the actions' features, as published. peers: its own band. seats_told: see Tonight."""

    release: Release
    facts: Facts
    values: dict[str, float]
    peers: Band
    seats_told: bool


def what_if(release: Release, warehouse: Path, account_id: str, horizon: int | None = None) -> dict[str, Any] | None:
    """The actions for one account (docs/api.md), the largest gain in expected increment first; None if the release
    holds no such account. horizon: days; null: the bundle's default.

    Raises:
        HistoryMoved: the warehouse does not give the published score.
        ApiError: 422 for a horizon this release lacks.
    """
    row = release.database.execute("SELECT * FROM scores WHERE account_id = ?", (account_id,)).fetchone()
    if row is None:
        return None
    days = horizon_of(release, horizon)
    said = {
        "account_id": account_id,
        "horizon": days,
        "currency": release.card["currency"],
        "probability": row[f"probability_{days}"],
        "expected_increment": row[f"increment_{days}"],
        "peers": None,
        "actions": [],
        "not_offered": [],
        "what_if_absent": None,
    }
    if release.card["method"] == "rule":
        return said | {"what_if_absent": RULE}
    if row["next_tier"] is None:
        return said | {"what_if_absent": TOP}
    kept = tonight(release.folder)
    if kept is None:
        return said | {"what_if_absent": NOT_KEPT}
    account = _Account(release, facts_of(warehouse, account_id), *kept.of(account_id), kept.seats)
    found = {action: _bent(action, account) for action in ACTIONS}
    offered: dict[str, Bent] = {action.name: bent for action, bent in found.items() if isinstance(bent, Bent)}
    features = _features(account, {NOW: unbent(account.facts), **offered})
    predicted = _predicted(release, features)
    _refuse_moved(account, features, predicted[NOW], row)
    actions = [_told(action, account, said, predicted[action.name]) for action in ACTIONS if action.name in offered]
    not_offered = [
        {"action": action.name, "reason": why[0], "text": why[1]}
        for action, why in found.items()
        if not isinstance(why, Bent)
    ]
    actions.sort(key=lambda told: -told["expected_increment_then"])
    return said | {"peers": account.peers.accounts, "actions": actions, "not_offered": not_offered}


def _refuse_moved(account: _Account, features: pa.Table, now: dict[str, float], row: Any) -> None:
    """Raises HistoryMoved unless the unbent facts give the published `row`, at every horizon, and the values kept."""
    own = features.filter(pc.equal(features["account_id"], NOW))
    same = all(own[action.feature][0].as_py() == account.values[action.feature] for action in ACTIONS)
    for days in account.release.card["horizons"]:
        for said, published in ((f"expansion_{days}", f"probability_{days}"), (f"increment_{days}",) * 2):
            same = same and bool(np.isclose(now[said], row[published], rtol=SAME, atol=SAME))
    if not same:
        raise HistoryMoved(
            f"the warehouse no longer gives what was published as of {account.release.as_of}: facts of earlier days "
            "have come in since, or were told otherwise. Score again: `expansion score`."
        )


def _bent(action: Action, account: _Account) -> Bent | tuple[str, str]:
    """The facts that the action adds, or why it is not offered: a word and a sentence."""
    peers, definitions, as_of = account.peers, account.release.scorer.definitions, account.release.as_of
    names = names_of(action.kind, definitions) if action.kind else []
    if action.kind and not names:
        return "not_declared", f"no event name is declared as {action.kind}"
    if peers.accounts < LEAST:
        return "few_peers", f"fewer than {LEAST} accounts of its age were used in the last 28 days"
    value, upper = account.values[action.feature], peers.upper[action.feature]
    if upper <= 0:
        return "peers_do_not", f"fewer than a quarter of its peers have any {action.many} in the last 28 days"
    if value >= upper:
        return "done", f"{_beside(action, account)}: it does that already"
    count = round(upper - value)
    if not action.kind:
        return invited(account.facts, as_of, count, definitions, peers, account.seats_told)
    most = max(1, int(peers.upper[action.breadth])) if action.breadth else None
    found = done_more(account.facts, as_of, count, names, most)
    return found or ("no_use", "nobody has used it in the last 28 days, so there is no day to put it on")


def _told(action: Action, account: _Account, now: dict[str, Any], then: dict[str, float]) -> dict[str, Any]:
    """An action as the API tells it; `then` by name of what is predicted."""
    value, upper, days = account.values[action.feature], account.peers.upper[action.feature], now["horizon"]
    chance = then[f"expansion_{days}"]
    return {
        "action": action.name,
        "text": f"{_beside(action, account)}: {upper - value:,.0f} more",
        "feature": action.feature,
        "value": value,
        "peer_p75": upper,
        "probability": now["probability"],
        "probability_then": chance,
        "expected_increment": now["expected_increment"],
        "expected_increment_then": then[f"increment_{days}"],
        "verdict": _verdict(now["probability"], chance, days),
        "label": LABEL,
    }


def _beside(action: Action, account: _Account) -> str:
    """`3 active users in the last 28 days; a quarter of its peers have 9 or more`."""
    value, upper = account.values[action.feature], account.peers.upper[action.feature]
    counted = action.one if value == 1 else action.many
    return f"{value:,.0f} {counted} in the last 28 days; a quarter of its peers have {upper:,.0f} or more"


def _verdict(now: float, then: float, days: int) -> str:
    chance, moved = f"the model's chance within {days} days", f"from {100 * now:.1f} % to {100 * then:.1f} %"
    if then - now >= SHOWN:
        return f"would raise {chance} {moved}"
    return f"would not raise {chance}" + (f": {moved}" if now - then >= SHOWN else "")


def _features(account: _Account, variants: Mapping[str, Bent]) -> pa.Table:
    """One row a variant, whose name stands in account_id.

    To the feature path each variant is an account of its own: features read nothing of another one, and what accounts
    together tell is that of the release."""
    with connect(memory_limit=REQUEST_MEMORY) as con:
        for table in ("accounts", *HISTORY):
            parts = []
            for name, bent in variants.items():
                more = getattr(bent, table, None)
                parts += [_named(rows, name) for rows in (account.facts[table], more) if rows is not None]
            con.register(table, pa.concat_tables(parts))
        days = pa.array([account.release.as_of] * len(variants), pa.date32())
        spine = pa.table({"account_id": list(variants), "as_of": days})
        return build_features(con, spine, account.release.scorer.definitions, vendor=account.release.vendor)


def _named(rows: pa.Table, name: str) -> pa.Table:
    place = rows.column_names.index("account_id")
    return rows.set_column(place, rows.schema.field(place), pa.array([name] * len(rows), pa.string()))


def _predicted(release: Release, features: pa.Table) -> dict[str, dict[str, float]]:
    """What Scorer.predict says of each variant, by its name."""
    predicted = release.scorer.predict(release.scorer.encoding.matrix(features))
    names = features["account_id"].to_pylist()
    return {name: {what: float(values[row]) for what, values in predicted.items()} for row, name in enumerate(names)}
