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

from simulator.faults import FAULTY
from simulator.market import HORIZONS, REVOKED, SETTLING, STAGES, Market
from simulator.truth import SCHEMA
from simulator.worlds import WORLDS, changed

SHORT = 8  # numbers that are shown in the table itself; longer ones stand below it


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
            large.append(f"`{entry.name}` ({entry.metadata['unit']})\n\n{_grid(entry.name, np.asarray(value), market)}")
            shown = "below"
        lines.append(f"| `{entry.name}` | {shown} | {entry.metadata['unit']} | {entry.metadata['source']} |")
    fixed = {"settling": f"{SETTLING} days", "taken back": f"{REVOKED[0]} to {REVOKED[1]} days", "horizons": HORIZONS}
    lines += [
        f"| {name} | {value} | fixed in the code | what makes the ceiling exact |" for name, value in fixed.items()
    ]
    more = "<details><summary>The large tables</summary>\n\n" + "\n\n".join(large) + "\n\n</details>"
    return "\n".join(lines) + "\n\n" + more


def worlds() -> str:
    lines = ["| world | what is special | parameters that differ from `plain` |", "|---|---|---|"]
    for name, world in WORLDS.items():
        other = ", ".join(f"`{parameter}`" for parameter in changed(world.market())) or "none"
        lines.append(f"| `{name}` | {world.story} | {other} |")
    return "\n".join(lines)


def faults() -> str:
    """Every switch with its rate in `faulty` and what it does, as the docstring of `Faults` says."""
    text = type(FAULTY).__doc__ or ""
    said = dict(re.findall(r"^    (\w+): (.*?)(?=\n    \w+:|\n\n|\Z)", text, re.DOTALL | re.MULTILINE))
    lines = ["| switch | rate in `faulty` | what it does |", "|---|---:|---|"]
    for name, rate in FAULTY.model_dump().items():
        lines.append(f"| `{name}` | {rate:g} | {' '.join(said[name].split())} |")
    return "\n".join(lines)


def truth() -> str:
    lines = ["| column | type |", "|---|---|"]
    return "\n".join(lines + [f"| `{column.name}` | {column.type} |" for column in SCHEMA])


def _short(value: Any) -> str | None:
    """The value on one line; None if it is too large for that."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{value:g}" if isinstance(value, int | float) else str(value)
    if array.ndim == 2 and (array == array[0]).all():
        array = array[0]  # the same for every type
    if array.ndim == 1 and array.size <= SHORT:
        return ", ".join(f"{number:g}" for number in array)
    return None


def _grid(name: str, values: np.ndarray, market: Market) -> str:
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
