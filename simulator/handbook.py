"""The tables of `docs/simulator.md`, made from the code: `python -m simulator.handbook docs/simulator.md` renews them.

A table stands between `<!-- name -->` and `<!-- /name -->`; the prose around it is written by hand.
"""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from simulator.faults import FAULTY, RENAMES
from simulator.market import HORIZONS, REVOKED, SETTLING, STAGES, Market
from simulator.truth import SCHEMA
from simulator.worlds import WORLDS, changed

SHORT = 8  # numbers that are shown in the table itself; longer ones stand below it
TRUTH = {  # what a column of the truth means
    "account_id": "account; no internal one, and none that signed up on the day itself",
    "as_of": "midnight UTC that opens a month",
    "horizon": f"h: {', '.join(map(str, HORIZONS))} days",
    "expansion": "chance of a held step to the next tier in `[as_of, as_of + h)`; null in the top tier",
    "high_value": "the same for the tier that counts as high value; null at or above it",
    "churn": "chance of closing in `[as_of, as_of + h)`, not having expanded before",
    "increment": "expected increment over `[as_of, as_of + h)`, signed",
    "clairvoyant_expansion": "as `expansion`, for one who also knows type, size and stage",
    "clairvoyant_high_value": "as `high_value`, likewise",
    "clairvoyant_churn": "as `churn`, likewise",
    "clairvoyant_increment": "as `increment`, likewise",
    "uplift": "`expansion` if sales calls on as_of, less that if it does not; null where sales calls nobody",
}


def renewed(page: str) -> str:
    """`page` with every generated part made anew.

    Raises:
        ValueError: a marker of one of the parts is missing.
    """
    parts = {"parameters": parameters(), "worlds": worlds(), "faults": faults(), "truth": truth()}
    for name, text in parts.items():
        opening, closing = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = page.partition(opening)
        _, ended, after = rest.partition(closing)
        if not (found and ended):
            raise ValueError(f"The page lacks <!-- {name} --> and after it {closing}.")
        page = f"{before}{opening}{text}\n{closing}{after}"
    return page


def parameters() -> str:
    """Every parameter of `plain`: value, unit, source; large tables below."""
    market = Market()
    lines = ["| parameter | value in `plain` | unit | source |", "|---|---|---|---|"]
    large = []
    for entry in fields(Market):
        value = getattr(market, entry.name)
        shown = _short(value)
        if shown is None:
            large.append(f"`{entry.name}` ({entry.metadata['unit']})\n\n{_grid(np.asarray(value), market)}")
            shown = "below"
        lines.append(f"| `{entry.name}` | {shown} | {entry.metadata['unit']} | {entry.metadata['source']} |")
    fixed = (
        ("settling", SETTLING, "days after a step without another, a change of seats, or churn"),
        ("taken back", f"{REVOKED[0]} to {REVOKED[1]}", "days after a step that is not kept, uniform"),
        ("horizons", ", ".join(map(str, HORIZONS)), "days"),
    )
    lines += [f"| {name} | {value} | {unit} | fixed in the code |" for name, value, unit in fixed]
    more = "<details><summary>The large tables</summary>\n\n" + "\n\n".join(large) + "\n\n</details>"
    return "\n".join(lines) + "\n\n" + more


def worlds() -> str:
    """The worlds, what differs from `plain` in each, and in words what the change means."""
    lines, told = ["| world | what is special | what differs from `plain` |", "|---|---|---|"], []
    for name, world in WORLDS.items():
        market = world.market()
        other = [_difference(parameter, market) for parameter in changed(market)]
        other += ["faults, as below"] * (world.faults == FAULTY)
        other += [f"at most {world.most_accounts:,} accounts"] if world.most_accounts else []
        lines.append(f"| `{name}` | {world.story} | {', '.join(other) or 'nothing'} |")
        if world.market is not Market:
            paragraphs = (world.market.__doc__ or "").split("\n\n")
            told.append(f"`{name}`: " + "\n\n".join(" ".join(text.split()) for text in paragraphs))
    return "\n".join(lines) + "\n\n" + "\n\n".join(told)


def _difference(parameter: str, market: Market) -> str:
    """The parameter, with its value where that is one number."""
    value = getattr(market, parameter)
    return f"`{parameter}` {value:g}" if isinstance(value, int | float) else f"`{parameter}`"


def faults() -> str:
    """Every switch with its rate in `faulty` and what it does, as the docstring of `Faults` says."""
    text = type(FAULTY).__doc__ or ""
    said = dict(re.findall(r"^    (\w+): (.*?)(?=\n    \w+:|\n\n|\Z)", text, re.DOTALL | re.MULTILINE))
    lines = ["| switch | rate in `faulty` | what it does |", "|---|---:|---|"]
    for name, rate in FAULTY.model_dump().items():
        lines.append(f"| `{name}` | {rate:g} | {' '.join(said[name].split())} |")
    names = ", ".join(f"`{old}` becomes `{new}`" for old, new in RENAMES.items())
    return "\n".join(lines) + f"\n\nRENAMES: {names}."


def truth() -> str:
    """Every column of the truth with its type and meaning; a column without one is a KeyError."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    return "\n".join(lines + [f"| `{column.name}` | {column.type} | {TRUTH[column.name]} |" for column in SCHEMA])


def _short(value: Any) -> str | None:
    """The value on one line; None if it is too large for that."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{value:g}" if isinstance(value, int | float) else str(value)
    every = array.ndim == 2 and bool((array == array[0]).all())
    row = array[0] if every else array
    if row.ndim == 1 and row.size <= SHORT:
        return ("in each: " if every else "") + ", ".join(f"{number:g}" for number in row)
    return None


def _grid(values: np.ndarray, market: Market) -> str:
    """A table of two or three axes; the first is the type (or the region, of contacts)."""
    first = market.types if len(values) == len(market.types) else ("elsewhere", "favoured")
    width = values.shape[-1]
    columns = {len(STAGES): STAGES, len(market.channels): market.channels, len(market.countries): market.countries}
    head = columns.get(width, tuple(str(place + 1) for place in range(width)))
    rows = [(first[place], row) for place, row in enumerate(values)]
    if values.ndim == 3:
        rows = [(f"{first[z]}, {STAGES[g]}", row) for z, part in enumerate(values) for g, row in enumerate(part)]
    lines = ["| | " + " | ".join(head) + " |", "|---" + "|---:" * width + "|"]
    lines += [f"| {label} | " + " | ".join(f"{number:g}" for number in row) + " |" for label, row in rows]
    return "\n".join(lines)


def main() -> None:
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
