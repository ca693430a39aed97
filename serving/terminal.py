"""Leads and measures as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from warehouse.raw import CONTACTED, HELD_OUT, RANDOM

SHOWN = 0.005  # in log-odds; less reads as 0.00
PLAIN = 0.05  # PSI that chance may give without a word of it


def source_line(source: dict[str, Any], known: date, today: date) -> str:
    """The day and the bundle of the scores that follow, of `source` (serving/source.py), their age where they are
    stale, and whether events are missing. known: the midnight up to which the release knows facts."""
    head = f"as of {source['as_of']}, bundle {source['version']}"
    days = (today - known).days
    old = f", STALE: knows nothing after {known}, {_days(days)} ago" if source["stale"] else ""
    return head + old + (", PARTIAL: events are missing" if source["data_status"] == "partial" else "")


def lead_lines(item: dict[str, Any]) -> list[str]:
    """One lead, as `leads.find` gives it: who and how likely by when, how much money, then one line a reason."""
    chances = "  ".join(f"{row['days']} d {_share(row['probability'])}" for row in item["horizons"])
    money = item["expected_increment"]
    extra = "" if money is None else f"  expected {money:+,.0f} {item['currency']} in {item['horizon']} d"
    towards = f" -> {item['next_tier']}" if item["next_tier"] else ""
    place = f"band {item['band']}  stage {item['stage']}  tier {item['tier']}{towards}"
    reasons = [f"        {'+' if r['direction'] == 'up' else '-'} {r['text']}" for r in item["reasons"]]
    return [f"{item['rank']:>4}. {item['account_id']}  {place}", f"      {chances}{extra}", *reasons]


def stage_lines(item: dict[str, Any]) -> list[str]:
    """Since when an account, of `leads.account` stands in its stage, and why; empty where neither is known."""
    since, why = item["stage_since"], item["stage_evidence"]
    if since is None and why is None:
        return []
    said = f"stage {item['stage']}" + ("" if since is None else f" since {since}")
    return [f"      {said}{', stalled' if item['stalled'] else ''}" + ("" if why is None else f": {why['text']}")]


def quarter_lines(quarters: Sequence[dict[str, Any]]) -> list[str]:
    """The quarters of an account (serving/journey.py), one a line: its stage at the end, and why."""
    return [
        f"{row['number']:>3}. {row['quarter']}{'' if row['complete'] else ' so far'}  {row['stage']}"
        + ("" if row["evidence"] is None else f": {row['evidence']}")
        for row in quarters
    ]


def replay_lines(said: dict[str, Any]) -> list[str]:
    """An account as of a past day (serving/replay.py): by what it was scored, whether it was published so, its features
    and scores, and its reasons."""
    flat = said["features"] | {name: value for name, value in said["score"].items() if name != "reasons"}
    lines = [f"{name}: {said[name]}" for name in ("release", "bundle_id", "data_fingerprint")]
    if said["published"] is None:
        lines.append("published: no intact release of that night is kept")
    else:
        lines += [f"published {name}: {value}" for name, value in said["published"].items()]
    verdicts = {True: "true", False: f"false: {', '.join(said['differs'])}", None: "null"}
    lines.append(f"matches: {verdicts[said['matches']]}")
    return [
        *lines,
        *(f"{name}: {v}" for name, v in flat.items()),
        *(f"  {r['text']}" for r in said["score"]["reasons"]),
    ]


def change_lines(item: dict[str, Any]) -> list[str]:
    """Why the score of an account moved since the release, one line per term; empty where there is no reason."""
    why, was = item["why_changed"], item["previous_tier"]
    if why is None:
        return []
    chance = "" if why["probability"] is None else f", probability {100 * why['probability']:+.1f} points"
    more, currency = why["expected_increment"], item["currency"]
    money = "" if more is None else f", expected {more:+,.0f} {currency} in {why['horizon']} d"
    tier = f", tier {was} -> {item['tier']}" if was is not None and was != item["tier"] else ""
    head = f"      since {why['since']}: log-odds {why['log_odds']:+.2f}{chance}{money}{tier}"
    told = [term for term in why["changes"] if abs(term["change"]) >= SHOWN]
    return [head, *(f"        {term['change']:+.2f} {term['family']}: {term['text']}" for term in told)]


def what_if_lines(said: dict[str, Any] | None) -> list[str]:
    """What the model would say of an account (serving/whatif.py), an action a line, under the label; empty where it was
    not asked."""
    if said is None:
        return []
    if said["what_if_absent"]:
        return [f"      what-if: none ({said['what_if_absent']})"]
    lines = [f"      {said['actions'][0]['label']}:"] if said["actions"] else ["      what-if: nothing to offer"]
    for action in said["actions"]:
        now, then = action["expected_increment"], action["expected_increment_then"]
        money = f"expected {now:+,.0f} -> {then:+,.0f} {said['currency']}"
        lines += [f"        {action['action']}: {action['text']}", f"          {action['verdict']}, {money}"]
    return lines + [f"        {action['action']} is not offered: {action['text']}" for action in said["not_offered"]]


def drift_lines(drift: dict[str, Any] | None) -> list[str]:
    """What a release says of its drift: the verdict with its figures, and why if it is not stable."""
    if drift is None:
        return ["drift: nothing to compare with yet"]
    top = drift["top"]
    head = f"drift: {drift['verdict']} since {drift['compared_with'][:10]} ({_days(drift['days'])}): "
    if drift["score_psi"] is not None:
        head += f"score PSI {drift['score_psi']:.2f}, "
        if drift["score_psi_by_chance"] > PLAIN:
            head += f"{drift['score_psi_by_chance']:.2f} of it by chance among so few, "
    head += f"{top['kept']} of the top {top['n']} kept"
    return [head] if drift["verdict"] == "stable" else [head, drift["why"]]


def plan_lines(said: dict[str, Any], plans: Path, asked: int | None = None) -> list[str]:
    """The week's calls, a line an account, and those that a lot leaves alone; then where the slots lie. asked: the
    capacity asked for, which a week drawn before does not heed."""
    told = {CONTACTED: "", RANDOM: "  by lot", HELD_OUT: "  LEAVE ALONE, by lot"}
    lines = [
        f"{row['rank']:>4}. {row['account_id']}  band {row['band']}  {_share(row['probability'])}{told[row['kind']]}"
        + (f"  contacted {row['last_contact']}" if row.get("last_contact") else "")
        for row in said["rows"]
    ]
    drawn = f"{'drawn before' if said['already_drawn'] else 'drawn now'} of {said['release']}"
    called = sum(row["kind"] != HELD_OUT for row in said["rows"])
    slots = f"{said['slots_an_arm']} called by lot and {said['slots_an_arm']} left alone"
    tail = [f"Week of {said['week']}, {drawn}: {called} to call, {slots}."]
    if said.get("resting"):  # a week drawn by an earlier version does not tell
        tail.append(f"{said['resting']} more rest: contacted within {said['rest_days']} days before {said['as_of']}.")
    if said["already_drawn"] and asked not in (None, said["capacity"]):
        tail.append(
            f"You asked for {asked} calls: a week is drawn once, and this one was drawn for {said['capacity']}."
        )
    if said["slots_an_arm"]:
        touches = plans / f"{said['week']}-touches.csv"
        tail.append(f"Add {touches} to your touches: in time the model card tells what calling brings.")
    return [*lines, *tail]


def sent_lines(said: dict[str, Any]) -> list[str]:
    """What `expansion send` sent (serving/send.py)."""
    if not said["accounts"] and not said["gone"]:
        return [f"{said['to']} holds all of {said['release']} already: nothing sent"]
    return [
        f"sent to {said['to']}: {said['accounts']:,} of {said['scored']:,} accounts, {said['gone']:,} gone "
        f"({said['release']})"
    ]


def key_lines(keys: Sequence[dict[str, Any]]) -> list[str]:
    """The API keys, oldest first; a key is told by its id, for its text is kept nowhere."""
    lines = []
    for key in keys:
        when = key["revoked_at"] if key["state"] == "revoked" else key["expires_at"]
        since = {"valid": f"until {when}" if when else "without an end"}.get(key["state"], str(when))
        made = f"made {key['created_at']}"
        lines.append(f"{key['id']}  {key['state']:<7}  {key['name']}  {', '.join(key['scopes'])}  {made}  {since}")
    return lines or ["no key: `expansion key` makes one"]


def table_lines(rows: Sequence[dict[str, Any]], width: int = 20) -> list[str]:
    """Rows of the same keys, as right-aligned columns under their names."""
    names = list(rows[0]) if rows else []
    head = " ".join(f"{name:>{width}}" for name in names)
    return [head, *(" ".join(f"{_cell(row[name]):>{width}}" for name in names) for row in rows)]


def how_to_open(workspace: Path, key: str, release: str, as_of: str) -> list[str]:
    """What a newcomer does after the demo; `key` is the text of an API key that reads and scores for 30 days."""
    return [
        f"live release: {release}; report: {workspace / 'artifacts' / 'model_card.md'}",
        "",
        f"Open the page:   .venv/bin/expansion serve --workspace {workspace}",
        f"                 http://127.0.0.1:3000/#key={key}",
        f"Ask the API:     curl -H 'Authorization: Bearer {key}' 'http://127.0.0.1:3000/v1/leads?limit=3'",
        "The key reads and scores for 30 days; `expansion key` makes another.",
        f"The simulated vendor's data ends {as_of}, so the page says that the scores are old.",
    ]


def _days(count: int) -> str:
    return f"{count} day{'s' * (count != 1)}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
